// SPDX-License-Identifier: Apache-2.0
// Times as people write them in a policy: moments of the calendar and hours of the week.
#pragma once

#include <stdbool.h>
#include <time.h>

struct rule_hours;
struct zone;

// "2027-01-31 18:00" and "2027-01-31 18:00:30" in the time zone (NULL: the host's), with an offset "2027-01-31T18:00:00Z" and
// "2027-01-31T18:00:00+01:00" (RFC 3339), and "2027-01-31", which is the end of that day. -EINVAL; -EDOM: there is no such day or
// time of the day.
int when_moment(const char *text, const struct zone *zone, time_t *ret);
// "mon-fri 08:00-18:00", "sat,sun", "fri-mon 22:00-06:00", "00:00-24:00". -EINVAL.
int when_hours(const char *text, struct rule_hours *ret);
// "2027-01-31 18:00 +0100" in the time zone. Returns `text`.
const char *when_text(time_t at, const struct zone *zone, char *text, size_t size);
#define WHEN_TEXT_MAX	    32
#define WHEN_HOURS_TEXT_MAX 64
// "mon-fri 08:00-18:00". Returns `text`.
const char *when_hours_text(const struct rule_hours *hours, char text[WHEN_HOURS_TEXT_MAX]);
