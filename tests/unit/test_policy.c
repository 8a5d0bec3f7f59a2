// SPDX-License-Identifier: Apache-2.0
// Which rules hold when, across days, midnight and the changes of the clock.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <time.h>
#include <cmocka.h>

#include "base/error.h"
#include "base/zone.h"
#include "server/policy.h"

#define MINUTE	 60
#define HOUR	 3600
#define DAY	 86400
#define WORKDAYS 0x1f

static struct zone *berlin;

static int set_up(void **state)
{
	(void)state;
	int r = zone_load("Europe/Berlin", &berlin, NULL);
	return r == -ENOENT ? 0 : r; // a host without zones
}

static int tear_down(void **state)
{
	(void)state;
	berlin = zone_free(berlin);
	return 0;
}

// UTC.
static time_t utc(const char *text)
{
	struct tm tm = {0};
	assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &tm));
	return timegm(&tm);
}

static void holds(const struct rule *rule, const char *text, bool expected)
{
	if (policy_active(rule, utc(text)) != expected)
		fail_msg("%s", text);
}

static void hours_hold_in_their_zone(void **state)
{
	const struct rule_hours hours = {WORKDAYS, 8 * 60, 18 * 60};
	const struct rule rule = {.hours = &hours, .hour_count = 1, .zone = berlin};
	(void)state;
	if (!berlin)
		skip();
	holds(&rule, "2026-11-25 06:59:59", false); // Wednesday, winter
	holds(&rule, "2026-11-25 07:00:00", true);
	holds(&rule, "2026-11-25 16:59:59", true);
	holds(&rule, "2026-11-25 17:00:00", false);
	holds(&rule, "2026-07-03 05:59:59", false); // Friday, summer
	holds(&rule, "2026-07-03 06:00:00", true);
	holds(&rule, "2026-07-04 08:00:00", false); // Saturday
}

static void hours_go_over_midnight(void **state)
{
	const struct rule_hours hours = {1 << 6, 22 * 60, 6 * 60}; // Sunday night
	const struct rule rule = {.hours = &hours, .hour_count = 1, .zone = berlin};
	(void)state;
	if (!berlin)
		skip();
	holds(&rule, "2026-11-22 20:59:59", false);
	holds(&rule, "2026-11-22 21:00:00", true);
	holds(&rule, "2026-11-23 04:59:59", true); // Monday, the begin of the week
	holds(&rule, "2026-11-23 05:00:00", false);
	holds(&rule, "2026-11-23 22:00:00", false);
}

static void what_is_expired_holds_no_more(void **state)
{
	const struct rule rule = {.expires = utc("2026-11-25 12:00:00")};
	const struct rule for_ever = {0};
	(void)state;
	holds(&rule, "2026-11-25 11:59:59", true);
	holds(&rule, "2026-11-25 12:00:00", false);
	holds(&for_ever, "2036-11-25 12:00:00", true);
}

static void nothing_changes_without_hours(void **state)
{
	const struct rule list[2] = {{.expires = 1000}, {0}};
	const struct rules rules = {.rules = list, .rule_count = 2};
	(void)state;
	assert_int_equal(policy_next_change(&rules, 10), 1000);
	assert_int_equal(policy_next_change(&rules, 1000), 0);
}

// Between two calls of policy_next_change() nothing changes: every minute is looked at, over four weeks with a change of the clock.
static void no_change_is_missed(void **state)
{
	static const struct rule_hours hours[] = {
		{WORKDAYS, 8 * 60, 18 * 60},
		{1 << 6, 22 * 60, 6 * 60},
		{0x7f, 90, 165},
		{0x60, 0, 1440},
		{0x55, 600, 600},
	};
	static const char *const begins[] = {"2026-10-11 00:00:00", "2026-03-16 00:00:00"};
	(void)state;
	if (!berlin)
		skip();
	for (unsigned n = 0; n < 2 * sizeof(hours) / sizeof(hours[0]); n++) {
		const struct rule rule = {.hours = &hours[n / 2], .hour_count = 1, .zone = berlin};
		const struct rules rules = {.inbound = &rule, .inbound_count = 1};
		time_t at = utc(begins[n % 2]), end = at + 28 * DAY;
		unsigned calls = 0;
		while (at < end) {
			bool now = policy_active(&rule, at);
			time_t next = policy_next_change(&rules, at);
			assert_true(next > at);
			for (time_t t = at; t < next;
			     t += t % MINUTE ? MINUTE - t % MINUTE : MINUTE)
				assert_int_equal(policy_active(&rule, t), now);
			at = next;
			calls++;
		}
		assert_true(calls < 28 * 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hours_hold_in_their_zone),
		cmocka_unit_test(hours_go_over_midnight),
		cmocka_unit_test(what_is_expired_holds_no_more),
		cmocka_unit_test(nothing_changes_without_hours),
		cmocka_unit_test(no_change_is_missed),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
