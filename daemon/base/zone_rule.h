// SPDX-License-Identifier: Apache-2.0
// The last line of a zone file: what holds after its last listed change, for ever (POSIX, TZ environment variable; RFC 8536,
// 3.3.1).
#pragma once

#include <stdbool.h>
#include <stdint.h>

// "M3.5.0/2", "J60", "59"
struct zone_day {
	enum { ZONE_MONTH_WEEK_DAY, ZONE_JULIAN, ZONE_DAY_OF_YEAR } kind;
	int month, week, day; // day: of the week (0: Sunday), or of the year
	int second;	      // local time of that day; may be negative or of a later day
};

struct zone_rule {
	int32_t offset, summer_offset; // seconds east of UTC
	bool summer;		       // there is one
	struct zone_day begin, end;    // of it
};

// "CET-1CEST,M3.5.0,M10.5.0/3". -EINVAL.
int zone_rule_parse(const char *text, struct zone_rule *ret);
// Seconds east of UTC at `at`, seconds since 1970.
int32_t zone_rule_offset(const struct zone_rule *rule, int64_t at);
