// SPDX-License-Identifier: Apache-2.0
// A queue in simulated time.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tun/backlog.h"

#define MS UINT64_C(1000000)
#define S  (1000 * MS)

// Takes something every 10 us from `from` on, for `length`; returns how often the senders were told.
static unsigned take_for(struct backlog *backlog, uint64_t rtt_ns, uint64_t from, uint64_t length)
{
	unsigned told = 0;
	for (uint64_t now = from; now < from + length; now += 10000)
		told += backlog_tell(backlog, rtt_ns, now);
	return told;
}

static void a_queue_that_empties_is_left_alone(void **state)
{
	struct backlog backlog = {0};

	(void)state;
	for (uint64_t now = S; now < 2 * S; now += 3 * MS / 2) {
		backlog_empty(&backlog, now);
		assert_int_equal(take_for(&backlog, 0, now, 3 * MS / 2), 0);
	}
}

static void what_comes_after_a_rest_does_not_wait(void **state)
{
	struct backlog backlog = {0};

	(void)state;
	for (uint64_t now = S; now < 20 * S; now += S) {
		assert_int_equal(take_for(&backlog, 0, now, BACKLOG_INTERVAL_MIN_NS), 0);
		backlog_empty(&backlog, now + BACKLOG_INTERVAL_MIN_NS);
	}
}

static void a_standing_queue_is_told_of_ever_more_often(void **state)
{
	struct backlog backlog = {0};
	unsigned before = 0;

	(void)state;
	backlog_empty(&backlog, S);
	assert_int_equal(take_for(&backlog, 0, S, BACKLOG_INTERVAL_MIN_NS), 0);
	for (unsigned i = 0; i < 4; i++) {
		unsigned told =
			take_for(&backlog, 0, S + BACKLOG_INTERVAL_MIN_NS + i * 50 * MS, 50 * MS);
		assert_true(told > before);
		before = told;
	}
	backlog_empty(&backlog, 2 * S);
	assert_int_equal(take_for(&backlog, 0, 2 * S, BACKLOG_INTERVAL_MIN_NS), 0);
	assert_int_equal(take_for(&backlog, 0, 2 * S + BACKLOG_INTERVAL_MIN_NS, 10000), 1);
}

static void far_senders_have_time_to_react(void **state)
{
	struct backlog backlog = {0};

	(void)state;
	backlog_empty(&backlog, S);
	assert_int_equal(take_for(&backlog, 40 * MS, S, 40 * MS), 0);
	assert_int_equal(take_for(&backlog, 40 * MS, S + 40 * MS, 39 * MS), 1);
	backlog_empty(&backlog, 2 * S);
	assert_int_equal(take_for(&backlog, 30 * S, 2 * S, BACKLOG_INTERVAL_MAX_NS), 0);
	assert_int_equal(take_for(&backlog, 30 * S, 2 * S + BACKLOG_INTERVAL_MAX_NS, 10000), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_queue_that_empties_is_left_alone),
		cmocka_unit_test(what_comes_after_a_rest_does_not_wait),
		cmocka_unit_test(a_standing_queue_is_told_of_ever_more_often),
		cmocka_unit_test(far_senders_have_time_to_react),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
