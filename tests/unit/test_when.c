// SPDX-License-Identifier: Apache-2.0

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/zone.h"
#include "server/when.h"
#include "tun/rule.h"

static void test_moment(void **state)
{
	static const struct {
		const char *text;
		int r;
		time_t at; // in Berlin
	} cases[] = {
		{"2027-01-31T18:00:00Z", 0, 1801418400},
		{"2027-01-31T18:00:00+01:00", 0, 1801414800},
		{"2027-01-31T18:00:30-00:30", 0, 1801420230},
		{"2027-01-31 18:00", 0, 1801414800},
		{"2027-07-31 18:00", 0, 1817049600},
		{"2027-01-31", 0, 1801436400},
		{"2024-02-29", 0, 1709247600},
		{"2027-02-29", -EDOM, 0},
		{"2027-01-31 24:00", -EDOM, 0},
		{"2027-01-31 18:60", -EDOM, 0},
		{"2027-13-01", -EDOM, 0},
		{"2027-1-31", -EINVAL, 0},
		{"2027-01-31 18", -EINVAL, 0},
		{"2027-01-31T18:00:00+1", -EINVAL, 0},
		{"2027-01-31T18:00:00Zulu", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"soon", -EINVAL, 0},
	};
	struct zone *berlin;
	(void)state;
	assert_int_equal(zone_load("Europe/Berlin", &berlin, NULL), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		time_t at = 0;
		int r = when_moment(cases[i].text, berlin, &at);
		if (r != cases[i].r || at != cases[i].at)
			fail_msg("%s: %d, %lld", cases[i].text, r, (long long)at);
	}
	zone_free(berlin);
}

// The clocks go from 2:00 to 3:00, and back from 3:00 to 2:00.
static void test_clock_changes(void **state)
{
	struct zone *berlin;
	time_t at;
	(void)state;
	assert_int_equal(zone_load("Europe/Berlin", &berlin, NULL), 0);
	assert_int_equal(when_moment("2027-03-28 03:00", berlin, &at), 0);
	assert_int_equal(at, 1806195600);
	assert_int_equal(when_moment("2027-03-28 01:59", berlin, &at), 0);
	assert_int_equal(at, 1806195540);
	assert_int_equal(when_moment("2027-10-31 02:30", berlin, &at), 0);
	assert_int_equal(at, 1824942600);
	assert_int_equal(when_moment("2027-10-31 03:00", berlin, &at), 0);
	assert_int_equal(at, 1824948000);
	zone_free(berlin);
}

static void test_hours(void **state)
{
	static const struct {
		const char *text;
		uint8_t days;
		unsigned from, to;
		const char *again;
	} cases[] = {
		{"mon-fri 08:00-18:00", 0x1f, 480, 1080, "mon-fri 08:00-18:00"},
		{"sat,sun", 0x60, 0, 1440, "sat-sun 00:00-24:00"},
		{"fri-mon 22:00-06:00", 0x71, 1320, 360, "mon,fri-sun 22:00-06:00"},
		{"22:00-24:00", 0x7f, 1320, 1440, "22:00-24:00"},
		{"wed", 0x04, 0, 1440, "wed 00:00-24:00"},
		{"mon,wed-thu 00:00-00:01", 0x0d, 0, 1, "mon,wed-thu 00:00-00:01"},
	};
	static const char *const wrong[] = {"",
					    "mon-",
					    "monday",
					    "8:00-18:00",
					    "mon 08:00",
					    "08:00-24:01",
					    "24:00-08:00",
					    "08:60-09:00",
					    "mon,",
					    "mon  08:00-18:00",
					    "08:00-18:00 mon",
					    "mon-fri 08:00-18:00 "};
	struct rule_hours hours;
	char text[WHEN_HOURS_TEXT_MAX];
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(when_hours(cases[i].text, &hours), 0);
		assert_int_equal(hours.days, cases[i].days);
		assert_int_equal(hours.from_min, cases[i].from);
		assert_int_equal(hours.to_min, cases[i].to);
		assert_string_equal(when_hours_text(&hours, text), cases[i].again);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		if (when_hours(wrong[i], &hours) != -EINVAL)
			fail_msg("\"%s\"", wrong[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moment),
		cmocka_unit_test(test_clock_changes),
		cmocka_unit_test(test_hours),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
