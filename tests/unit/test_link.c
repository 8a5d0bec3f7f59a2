// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/link_fixture.h"

#define REKEY_MIN_MS (UINT64_C(9) * LINK_REKEY_MS / 10)

static void test_names(void **unused)
{
	(void)unused;
	assert_string_equal(link_state_name(LINK_IDLE), "idle");
	assert_string_equal(link_state_name(LINK_DIAL), "dial");
	assert_string_equal(link_state_name(LINK_PROVE), "prove");
	assert_string_equal(link_state_name(LINK_UP), "up");
	assert_string_equal(link_state_name(LINK_REAUTH), "reauth");
	assert_string_equal(link_state_name(LINK_WAIT), "wait");
}

static void test_coming_up(void **unused)
{
	(void)unused;
	_cleanup_(link_freep) struct link *link = link_new(2, 1);

	assert_int_equal(link_state(link), LINK_IDLE);
	assert_true(link_deadline(link) == CLOCK_NEVER);
	assert_int_equal(link_wish(link, START), LINK_WISH_NOTHING);
	link_ready(link, START);
	link_down(link, 0, START);
	link_reauth(link, 0, START);
	link_network_changed(link, START);
	assert_int_equal(link_state(link), LINK_IDLE);

	link_start(link, START);
	assert_int_equal(link_state(link), LINK_DIAL);
	assert_int_equal(link_wish(link, START), LINK_WISH_DIAL);
	assert_int_equal(link_endpoint(link), 0);
	link_dialling(link, START);
	assert_int_equal(link_wish(link, START), LINK_WISH_NOTHING);
	assert_int_equal(link_deadline(link), START + LINK_DIAL_MS);
	link_hello_sent(link, START + 50);
	assert_int_equal(link_state(link), LINK_PROVE);
	assert_int_equal(link_deadline(link), START + 50 + LINK_PROVE_MS);
	link_ready(link, START + 100);
	assert_int_equal(link_state(link), LINK_UP);
	link_stop(link);
	assert_int_equal(link_state(link), LINK_IDLE);
	assert_true(link_deadline(link) == CLOCK_NEVER);
}

static void test_slow_peer_is_aborted(void **unused)
{
	(void)unused;
	_cleanup_(link_freep) struct link *link = link_new(2, 1);

	link_start(link, START);
	link_dialling(link, START);
	assert_int_equal(link_wish(link, START + LINK_DIAL_MS - 1), LINK_WISH_NOTHING);
	assert_int_equal(link_wish(link, START + LINK_DIAL_MS), LINK_WISH_ABORT);
	link_failed(link, 0, START + LINK_DIAL_MS);
	assert_int_equal(link_wish(link, START + LINK_DIAL_MS), LINK_WISH_DIAL);
	assert_int_equal(link_endpoint(link), 1);
	assert_int_equal(link_attempts(link), 1);
	link_dialling(link, START + 5000);
	link_hello_sent(link, START + 6000);
	assert_int_equal(link_wish(link, START + 6000 + LINK_PROVE_MS), LINK_WISH_ABORT);
}

static void test_round_then_wait(void **unused)
{
	(void)unused;
	_cleanup_(link_freep) struct link *link = link_new(3, 7);

	link_start(link, START);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(link_wish(link, START), LINK_WISH_DIAL);
		assert_int_equal(link_endpoint(link), i);
		link_dialling(link, START);
		link_failed(link, 0, START);
	}
	assert_int_equal(link_state(link), LINK_WAIT);
	assert_in_range(link_deadline(link), START + LINK_WAIT_MIN_MS, START + LINK_CAP_MIN_MS);
	assert_int_equal(link_wish(link, link_deadline(link) - 1), LINK_WISH_NOTHING);
	assert_int_equal(link_wish(link, link_deadline(link)), LINK_WISH_DIAL);
	assert_int_equal(link_endpoint(link), 0);
	assert_int_equal(link_attempts(link), 3);
}

static void test_rotation_is_fair(void **unused)
{
	(void)unused;
	for (unsigned count = 1; count <= 7; count++) {
		_cleanup_(link_freep) struct link *link = link_new(count, count);
		unsigned tries[7] = {0};
		uint64_t now = START;

		link_start(link, now);
		for (unsigned i = 0; i < 100 * count; i++) {
			now = dial_next(link, now);
			tries[link_endpoint(link)]++;
			link_failed(link, 0, ++now);
		}
		for (unsigned i = 0; i < count; i++)
			assert_int_equal(tries[i], 100);
	}
}

static void test_same_endpoint_after_ready(void **unused)
{
	(void)unused;
	_cleanup_(link_freep) struct link *link = link_new(3, 7);

	link_start(link, START);
	link_dialling(link, START);
	link_failed(link, 0, START);
	link_dialling(link, START);
	link_ready(link, START);
	assert_int_equal(link_attempts(link), 0);
	link_down(link, 0, START + 60000);
	assert_int_equal(link_wish(link, START + 60000), LINK_WISH_DIAL);
	assert_int_equal(link_endpoint(link), 1);
}

static void test_retry_after_holds_one_endpoint(void **unused)
{
	(void)unused;
	_cleanup_(link_freep) struct link *link = link_new(2, 3);

	link_start(link, START);
	link_dialling(link, START);
	link_failed(link, 60000, START);
	assert_int_equal(link_wish(link, START), LINK_WISH_DIAL);
	uint64_t now = START;
	while (now < START + 59000) {
		now = dial_next(link, now);
		assert_int_equal(link_endpoint(link), 1);
		link_failed(link, 0, now + 10);
	}
	unsigned first = 0;
	for (unsigned i = 0; i < 20; i++) {
		now = dial_next(link, now);
		if (link_endpoint(link) == 0) {
			assert_true(now >= START + 60000);
			first++;
		}
		link_failed(link, 0, now + 10);
	}
	assert_in_range(first, 5, 10);
}

static void test_retry_after_spreads(void **unused)
{
	(void)unused;
	uint64_t earliest = CLOCK_NEVER, latest = 0;

	for (unsigned seed = 0; seed < 200; seed++) {
		_cleanup_(link_freep) struct link *link = link_up(1, seed, START);
		uint64_t lost = START + 60000;

		link_down(link, 8000, lost);
		assert_int_equal(link_state(link), LINK_WAIT);
		link_network_changed(link, lost + 1000);
		link_reauth(link, 0, lost + 1000);
		uint64_t at = dial_next(link, lost + 1000);
		assert_in_range(at, lost + 8000, lost + 10000);
		earliest = at < earliest ? at : earliest;
		latest = at > latest ? at : latest;
	}
	assert_true(latest - earliest > 1500);
}

static void test_retry_after_absurd(void **unused)
{
	(void)unused;
	_cleanup_(link_freep) struct link *link = link_up(1, 5, START);

	link_down(link, UINT64_MAX, START + 60000);
	assert_in_range(link_deadline(link), START + 60000,
			START + 60000 + LINK_RETRY_AFTER_MAX_MS + LINK_CAP_MAX_MS);
}

static void test_rekey(void **unused)
{
	(void)unused;
	for (unsigned seed = 0; seed < 200; seed++) {
		_cleanup_(link_freep) struct link *link = link_up(1, seed, START);

		assert_in_range(link_deadline(link), START + REKEY_MIN_MS, START + LINK_REKEY_MS);
		uint64_t now = link_deadline(link);
		assert_int_equal(link_wish(link, now), LINK_WISH_DIAL);
		assert_int_equal(link_state(link), LINK_REAUTH);
		link_dialling(link, now);
		link_hello_sent(link, now);
		assert_int_equal(link_state(link), LINK_REAUTH);
		link_ready(link, now + 20);
		assert_int_equal(link_state(link), LINK_UP);
		assert_in_range(link_deadline(link), now + REKEY_MIN_MS, now + 20 + LINK_REKEY_MS);
	}
}

static void test_reauth_failures_leave_the_session(void **unused)
{
	(void)unused;
	_cleanup_(link_freep) struct link *link = link_up(2, 9, START);
	uint64_t now = START + 60000, failed = now, longest = 0;

	link_reauth(link, 0, now);
	for (unsigned i = 0; i < 200; i++) {
		now = dial_next(link, now);
		assert_int_equal(link_state(link), LINK_REAUTH);
		if (i && i % 2 == 0) // a new round
			assert_in_range(now - failed, LINK_REAUTH_MIN_MS, LINK_REAUTH_MAX_MS);
		else
			assert_int_equal(now, failed);
		longest = now - failed > longest ? now - failed : longest;
		link_failed(link, 0, now);
		failed = now;
	}
	assert_true(longest > 30000);
	now = dial_next(link, now);
	link_ready(link, now);
	assert_int_equal(link_state(link), LINK_UP);
}

static void test_reauth_under_way_is_followed_by_another(void **unused)
{
	(void)unused;
	_cleanup_(link_freep) struct link *link = link_up(1, 9, START);
	uint64_t now = START + 60000;

	link_reauth(link, 0, now);
	link_dialling(link, dial_next(link, now));
	link_reauth(link, 0, now + 1);
	assert_int_equal(link_wish(link, now + 1), LINK_WISH_NOTHING);
	link_ready(link, now + 20);
	assert_int_equal(link_state(link), LINK_UP);
	assert_int_equal(link_deadline(link), now + 20 + LINK_SPACING_MS);
	now = dial_next(link, now + 20);
	link_ready(link, now);
	assert_true(link_deadline(link) > now + LINK_REKEY_MS / 2);

	// Asked for while the first try is on its way, too: that one still uses the old credential.
	link_down(link, 0, now + 60000);
	now = dial_next(link, now + 60000);
	link_reauth(link, 0, now);
	link_ready(link, now);
	assert_int_equal(link_deadline(link), now + LINK_SPACING_MS);
}

static void test_reauth_spreads(void **unused)
{
	(void)unused;
	unsigned early = 0;

	for (unsigned seed = 0; seed < 200; seed++) {
		_cleanup_(link_freep) struct link *link = link_up(1, seed, START);

		link_reauth(link, 30000, START + 60000);
		assert_in_range(link_deadline(link), START + 60000, START + 90000);
		early += link_deadline(link) < START + 75000;
		link_reauth(link, 3600000, START + 60000);
		assert_true(link_deadline(link) <= START + 90000);
	}
	assert_in_range(early, 70, 130);
}

static void test_session_lost_while_reauth(void **unused)
{
	(void)unused;
	_cleanup_(link_freep) struct link *link = link_up(1, 9, START);
	uint64_t now = dial_next(link, link_deadline(link));

	link_down(link, 0, now + 10);
	assert_int_equal(link_state(link), LINK_DIAL);
	assert_int_equal(link_wish(link, now + 10), LINK_WISH_NOTHING);
	assert_int_equal(link_deadline(link), now + LINK_DIAL_MS);
	link_hello_sent(link, now + 20);
	assert_int_equal(link_state(link), LINK_PROVE);
	link_ready(link, now + 30);
	assert_int_equal(link_state(link), LINK_UP);

	now = dial_next(link, link_deadline(link));
	link_failed(link, 0, now);
	assert_int_equal(link_state(link), LINK_REAUTH);
	link_down(link, 0, now + 5);
	assert_int_equal(link_wish(link, now + 5), LINK_WISH_DIAL);
	assert_int_equal(link_state(link), LINK_DIAL);
}

// Two nodes with one identity take the session from each other.
static void test_unsettled_sessions_back_off(void **unused)
{
	(void)unused;
	for (unsigned endpoints = 1; endpoints <= 3; endpoints++) {
		_cleanup_(link_freep) struct link *link = link_up(endpoints, 9, START);
		unsigned sessions = 1;
		uint64_t now = START;

		while (now < START + 60000) {
			link_down(link, 0, now);
			now = dial_next(link, now);
			link_ready(link, now);
			sessions++;
		}
		assert_in_range(sessions, 5, endpoints * 60);
	}
}

static void test_network_change_cuts_waits(void **unused)
{
	(void)unused;
	_cleanup_(link_freep) struct link *link = link_new(1, 11);
	uint64_t now = START;

	link_start(link, now);
	while (now < START + 600000) {
		now = dial_next(link, now);
		link_failed(link, 0, ++now);
	}
	link_network_changed(link, now + 99);
	assert_int_equal(dial_next(link, now + 99), now + 99);
	// The one under way may hang on the old network: it is followed at once.
	link_network_changed(link, now + 100);
	link_failed(link, 0, now + 110);
	assert_int_equal(dial_next(link, now + 110), now + 110);
	link_failed(link, 0, now + 111);
	assert_in_range(link_deadline(link), now + 111 + LINK_WAIT_MIN_MS,
			now + 111 + UINT64_C(3) * LINK_WAIT_MIN_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_coming_up),
		cmocka_unit_test(test_slow_peer_is_aborted),
		cmocka_unit_test(test_round_then_wait),
		cmocka_unit_test(test_rotation_is_fair),
		cmocka_unit_test(test_same_endpoint_after_ready),
		cmocka_unit_test(test_retry_after_holds_one_endpoint),
		cmocka_unit_test(test_retry_after_spreads),
		cmocka_unit_test(test_retry_after_absurd),
		cmocka_unit_test(test_rekey),
		cmocka_unit_test(test_reauth_failures_leave_the_session),
		cmocka_unit_test(test_reauth_under_way_is_followed_by_another),
		cmocka_unit_test(test_reauth_spreads),
		cmocka_unit_test(test_session_lost_while_reauth),
		cmocka_unit_test(test_unsettled_sessions_back_off),
		cmocka_unit_test(test_network_change_cuts_waits),
	};

	return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
