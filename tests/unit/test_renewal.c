// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pki/renewal.h"

#define NOW   1800000000
#define HOUR  INT64_C(3600)
#define DAY   INT64_C(86400)
#define DRAWS 10000u

static uint64_t draw(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 20;
}

// A plan made when the certificate came, of a life that is not short.
static struct renewal planned(time_t life)
{
	struct renewal renewal;

	renewal_plan(&renewal, NOW, NOW + life, NOW, 7);
	return renewal;
}

static void chosen_between_60_and_75_percent(void **unused)
{
	uint64_t state = 1;
	time_t first = INT64_MAX, last = 0;

	(void)unused;
	for (unsigned i = 0; i < DRAWS; i++) {
		struct renewal renewal;
		renewal_plan(&renewal, NOW, NOW + 100 * HOUR, NOW + HOUR, draw(&state));
		assert_int_equal(renewal.from, NOW);
		assert_int_equal(renewal.to, NOW + 100 * HOUR);
		assert_int_equal(renewal.failures, 0);
		first = renewal.at < first ? renewal.at : first;
		last = renewal.at > last ? renewal.at : last;
	}
	assert_in_range(first, NOW + 60 * HOUR, NOW + 61 * HOUR);
	assert_in_range(last, NOW + 74 * HOUR, NOW + 75 * HOUR);
}

static void short_ones_count_from_when_they_were_seen(void **unused)
{
	uint64_t state = 2;

	(void)unused;
	for (unsigned i = 0; i < DRAWS; i++) {
		struct renewal renewal;
		renewal_plan(&renewal, NOW - 300, NOW + 100, NOW, draw(&state));
		assert_int_equal(renewal.from, NOW);
		assert_in_range(renewal.at, NOW + 45, NOW + 55);
	}
}

static void one_that_is_over_is_due(void **unused)
{
	struct renewal renewal;

	(void)unused;
	renewal_plan(&renewal, NOW - 2 * DAY, NOW - DAY, NOW, 3);
	assert_true(renewal.at < NOW);
	renewal_plan(&renewal, NOW, NOW - 5, NOW, 3); // ends before it begins
	assert_true(renewal.at <= NOW);
}

static void ten_attempts_fit(void **unused)
{
	static const time_t lives[] = {90, 600, HOUR, DAY, 90 * DAY};
	uint64_t state = 3;

	(void)unused;
	for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
		struct renewal renewal = planned(lives[i]);
		time_t now = renewal.at;
		unsigned attempts = 0;
		for (; now < renewal.to; now = renewal.at, attempts++)
			renewal_failed(&renewal, RENEWAL_UNREACHABLE, 0, now, draw(&state));
		assert_true(attempts >= (lives[i] < 300 ? 5 : 10));
		assert_int_equal(renewal.failures, attempts);
	}
}

static void waits_grow_up_to_an_hour(void **unused)
{
	struct renewal renewal = planned(365 * DAY);
	uint64_t state = 4, longest = 0;
	time_t now = renewal.at;

	(void)unused;
	for (unsigned i = 0; i < 200; i++, now = renewal.at) {
		uint64_t before = renewal.wait_s < 5 ? 5 : renewal.wait_s;
		renewal_failed(&renewal, RENEWAL_UNREACHABLE, 0, now, draw(&state));
		assert_in_range(renewal.wait_s, 5, 3 * before);
		assert_int_equal(renewal.at, now + (time_t)renewal.wait_s);
		longest = renewal.wait_s > longest ? renewal.wait_s : longest;
	}
	assert_int_equal(longest, HOUR);
	renewal_failed(&renewal, RENEWAL_UNREACHABLE, 0, renewal.to + DAY, draw(&state));
	assert_in_range(renewal.wait_s, 5, HOUR); // never given up
}

static void a_refusal_waits_longer(void **unused)
{
	uint64_t state = 5;

	(void)unused;
	for (unsigned i = 0; i < DRAWS; i++) {
		struct renewal renewal = planned(DAY);
		renewal_failed(&renewal, RENEWAL_REFUSED, 0, renewal.at, draw(&state));
		assert_in_range(renewal.wait_s, 60, 180);
		renewal_failed(&renewal, RENEWAL_UNREACHABLE, 0, renewal.at, draw(&state));
		assert_true(renewal.wait_s >= 5);
	}
}

static void retry_after_is_the_least(void **unused)
{
	struct renewal renewal = planned(DAY);

	(void)unused;
	renewal_failed(&renewal, RENEWAL_LATER, 700, NOW, 0);
	assert_int_equal(renewal.at, NOW + 700);
	renewal = planned(90);
	renewal_failed(&renewal, RENEWAL_LATER, 30, NOW + 40, 0);
	assert_int_equal(renewal.at, NOW + 70);
	// But the certificate does not run out over it.
	renewal_failed(&renewal, RENEWAL_LATER, UINT32_MAX, renewal.to - 80, 0);
	assert_int_equal(renewal.at, renewal.to - 20);
	renewal_failed(&renewal, RENEWAL_LATER, UINT32_MAX, renewal.to, 0);
	assert_int_equal(renewal.at, renewal.to + DAY);
}

static void a_clock_that_was_set_prolongs_no_wait(void **unused)
{
	struct renewal renewal = planned(10 * DAY), before = renewal;

	(void)unused;
	renewal_stepped(&renewal, NOW - DAY);
	assert_int_equal(renewal.at, before.at); // was chosen, not a wait
	// A day ahead the certificate seemed near its end; then the clock was put right.
	renewal_failed(&renewal, RENEWAL_UNREACHABLE, 0, NOW + DAY, 17);
	renewal_stepped(&renewal, NOW);
	assert_int_equal(renewal.at, NOW + (time_t)renewal.wait_s);
	// Forward: what is due is due.
	time_t at = renewal.at;
	renewal_stepped(&renewal, NOW + DAY);
	assert_int_equal(renewal.at, at);
	// Past the end it went on by the hour; now there is an end again.
	renewal = planned(100);
	renewal_failed(&renewal, RENEWAL_REFUSED, 0, NOW + DAY, 100);
	assert_true(renewal.wait_s > 10);
	renewal_stepped(&renewal, NOW + 50);
	assert_int_equal(renewal.at, NOW + 55);
}

static void alarms_follow_each_other(void **unused)
{
	static const struct {
		time_t life;
		struct {
			time_t left;
			enum renewal_alarm alarm;
		} steps[5];
		unsigned last;
	} cases[] = {
		{100 * HOUR,
		 {{100 * HOUR, RENEWAL_FINE},
		  {25 * HOUR - 1, RENEWAL_QUARTER},
		  {10 * HOUR - 1, RENEWAL_TENTH},
		  {HOUR - 1, RENEWAL_HOUR},
		  {0, RENEWAL_EXPIRED}},
		 4},
		{400,
		 {{400, RENEWAL_FINE},
		  {99, RENEWAL_QUARTER},
		  {39, RENEWAL_TENTH},
		  {0, RENEWAL_EXPIRED}},
		 3},
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct renewal renewal = planned(cases[i].life);
		unsigned step = 0;
		assert_int_equal(renewal.to - NOW, cases[i].life);
		for (time_t left = cases[i].life; left >= 0; left--) {
			if (step < cases[i].last && left == cases[i].steps[step + 1].left)
				step++;
			assert_int_equal(renewal_alarm(&renewal, renewal.to - left),
					 cases[i].steps[step].alarm);
		}
		assert_int_equal(step, cases[i].last);
	}
	struct renewal renewal = planned(100 * HOUR);
	assert_int_equal(renewal_alarm(&renewal, renewal.to + DAY), RENEWAL_EXPIRED);
	assert_int_equal(renewal_alarm(&renewal, NOW - DAY), RENEWAL_FINE);
}

static void alarms_have_names(void **unused)
{
	(void)unused;
	assert_string_equal(renewal_alarm_name(RENEWAL_FINE), "fine");
	assert_string_equal(renewal_alarm_name(RENEWAL_EXPIRED), "expired");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chosen_between_60_and_75_percent),
		cmocka_unit_test(short_ones_count_from_when_they_were_seen),
		cmocka_unit_test(one_that_is_over_is_due),
		cmocka_unit_test(ten_attempts_fit),
		cmocka_unit_test(waits_grow_up_to_an_hour),
		cmocka_unit_test(a_refusal_waits_longer),
		cmocka_unit_test(retry_after_is_the_least),
		cmocka_unit_test(a_clock_that_was_set_prolongs_no_wait),
		cmocka_unit_test(alarms_follow_each_other),
		cmocka_unit_test(alarms_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
