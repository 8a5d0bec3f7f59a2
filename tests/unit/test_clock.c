// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"

static void monotonic_time_goes_on(void **state)
{
	uint64_t ns = clock_ns();
	uint64_t ms = clock_ms();

	(void)state;
	usleep(3000);
	assert_true(clock_ns() >= ns + 3000000);
	assert_true(clock_ms() >= ms + 2);
	assert_true(clock_ms() - ns / 1000000 < 60000); // the same clock
}

static void the_wall_clock_stands_where_it_is_put(void **state)
{
	(void)state;
	clock_set_wall(1800000000);
	assert_true(clock_wall() == 1800000000);
	usleep(1000);
	assert_true(clock_wall() == 1800000000);
	assert_true(clock_wall_ms() == 1800000000000);
	clock_set_wall(0);
	assert_true(llabs((long long)(clock_wall() - time(NULL))) <= 2);
	assert_true(llabs((long long)(clock_wall_ms() / 1000 - time(NULL))) <= 2);
}

static void says_the_largest_unit(void **state)
{
	static const struct {
		int64_t seconds;
		const char *words;
	} cases[] = {
		{0, "0 s"},
		{1, "1 s"},
		{59, "59 s"},
		{60, "1 min"},
		{119, "1 min"},
		{3599, "59 min"},
		{3600, "1 h"},
		{86399, "23 h"},
		{86400, "1 day"},
		{172800, "2 days"},
		{-59, "59 s"},
		{-86400, "1 day"},
		{INT64_MAX, "106751991167300 days"},
	};
	char text[32];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(clock_words(cases[i].seconds, text, sizeof(text)),
				    cases[i].words);
	assert_string_equal(clock_words(172800, text, 4), "2 d"); // cut, and ended
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(monotonic_time_goes_on),
		cmocka_unit_test(the_wall_clock_stands_where_it_is_put),
		cmocka_unit_test(says_the_largest_unit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
