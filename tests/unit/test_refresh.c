// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pki/refresh.h"

#define HOUR INT64_C(3600)
#define DAY  (24 * HOUR)
#define T0   INT64_C(1800000000)

static void between_half_and_four_fifths(void **state)
{
	time_t least = T0 + 7 * DAY, most = 0;

	(void)state;
	for (uint64_t random = 0; random < 1000; random++) {
		struct refresh refresh = {.min_s = 60, .max_s = 30 * 86400, .failures = 3};
		refresh_plan(&refresh, T0, T0 + 7 * DAY, T0 + 60, random);
		assert_in_range(refresh.at, T0 + 7 * DAY / 2, T0 + 7 * DAY * 8 / 10);
		assert_int_equal(refresh.failures, 0);
		least = refresh.at < least ? refresh.at : least;
		most = refresh.at > most ? refresh.at : most;
	}
	assert_true(most - least > 7 * DAY * 29 / 100);
}

static void within_its_bounds(void **state)
{
	struct refresh refresh = {.min_s = 60, .max_s = 3600};

	(void)state;
	refresh_plan(&refresh, T0, T0 + 7 * DAY, T0, 0);
	assert_int_equal(refresh.at, T0 + HOUR);
	refresh_plan(&refresh, T0, T0 + 10, T0, 0);
	assert_int_equal(refresh.at, T0 + 60);
	// Over already: a quarter of what is left.
	refresh_plan(&refresh, T0, T0 + DAY, T0 + DAY - HOUR, 0);
	assert_int_equal(refresh.at, T0 + DAY - HOUR + HOUR / 4);
	// Or as soon as allowed, where nothing is.
	refresh_plan(&refresh, T0, T0 + DAY, T0 + 2 * DAY, 0);
	assert_int_equal(refresh.at, T0 + 2 * DAY + 60);
}

static unsigned tries(time_t next_update, uint64_t random)
{
	struct refresh refresh = {.min_s = 60, .max_s = 86400};
	time_t now = next_update - 6 * HOUR;
	unsigned count = 0;

	for (; now < next_update; now = refresh.at, count++) {
		refresh_failed(&refresh, next_update, 0, now, random);
		assert_true(refresh.at > now);
		assert_int_equal(refresh.failures, count + 1);
	}
	return count;
}

static void ten_tries_and_more(void **state)
{
	(void)state;
	assert_in_range(tries(T0, 0), 10, 100);
	assert_in_range(tries(T0, 999), 10, 100);
}

static void after_failures(void **state)
{
	struct refresh refresh = {.min_s = 60, .max_s = 86400};
	time_t now = T0;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		refresh_failed(&refresh, 0, 0, now, 0);
		now = refresh.at;
	}
	refresh_failed(&refresh, 0, 0, now, 0);
	assert_int_equal(refresh.at, now + HOUR);
	refresh_failed(&refresh, 0, 7200, now, 0);
	assert_int_equal(refresh.at, now + 7200);
	refresh_failed(&refresh, 0, UINT32_MAX, now, 0);
	assert_int_equal(refresh.at, now + DAY);
	refresh_plan(&refresh, now, now + DAY, now, 0);
	refresh_failed(&refresh, now + DAY, 0, now, 0);
	assert_int_equal(refresh.at, now + 60);
	refresh_failed(&refresh, now + 8 * HOUR, UINT32_MAX, now, 0);
	assert_int_equal(refresh.at, now + 6 * HOUR);
	refresh_failed(&refresh, now + 8 * HOUR, 7200, now, 0);
	assert_int_equal(refresh.at, now + 7200);
	refresh_failed(&refresh, now - 8 * HOUR, UINT32_MAX, now, 0);
	assert_int_equal(refresh.at, now + HOUR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(between_half_and_four_fifths),
		cmocka_unit_test(within_its_bounds),
		cmocka_unit_test(ten_tries_and_more),
		cmocka_unit_test(after_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
