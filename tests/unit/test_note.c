// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>
#include <sys/eventfd.h>
#include <cmocka.h>

#include "tun/note.h"

#define FLOOD 200000u
#define NOW   1000000u

static struct notes *notes;
static int wake;

static int set_up(void **state)
{
	(void)state;
	wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	notes = notes_new(wake);
	assert_non_null(notes);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	notes = notes_free(notes);
	return close(wake);
}

static bool woken(void)
{
	eventfd_t count;
	return eventfd_read(wake, &count) == 0;
}

static struct note traced(uint32_t number)
{
	return (struct note){.type = NOTE_TRACED, .session_index = number};
}

static struct note denied(unsigned subject, uint16_t port)
{
	struct note note = {.type = NOTE_DENIED, .rule = 7};
	addr_parse("10.0.0.2", &note.key.from);
	addr_parse("10.20.0.5", &note.key.to);
	note.key.from_subject = (uint16_t)subject;
	note.key.protocol = IPPROTO_TCP;
	note.service = port;
	return note;
}

static unsigned put_denied(const struct note *note, unsigned times, uint64_t now_ms)
{
	unsigned noted = 0;
	for (unsigned i = 0; i < times; i++)
		noted += notes_put(notes, note, now_ms);
	return noted;
}

static void test_order_and_wakening(void **state)
{
	struct note note;
	(void)state;
	assert_false(notes_take(notes, &note));
	for (uint32_t i = 0; i < 3; i++) {
		note = traced(i);
		assert_true(notes_put(notes, &note, NOW));
		assert_int_equal(woken(), i == 0);
	}
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(notes_take(notes, &note));
		assert_int_equal(note.session_index, i);
		assert_true(note.at_ns > 0);
	}
	assert_false(notes_take(notes, &note));
	note = traced(3);
	assert_true(notes_put(notes, &note, NOW));
	assert_true(woken());
}

static void test_what_finds_no_room_is_counted(void **state)
{
	struct note note = traced(0);
	(void)state;
	for (unsigned i = 0; i < NOTES_MAX; i++)
		assert_true(notes_put(notes, &note, NOW));
	assert_false(notes_put(notes, &note, NOW));
	assert_int_equal(notes_counters(notes).lost, 1);
	assert_true(notes_take(notes, &note));
	assert_true(notes_put(notes, &note, NOW));
	assert_int_equal(notes_counters(notes).lost, 1);
}

static void test_equal_denials_are_noted_seldom_and_counted(void **state)
{
	struct note note = denied(1, 25);
	(void)state;
	assert_int_equal(put_denied(&note, 100, NOW), NOTE_SAME_PER_S);
	assert_int_equal(notes_counters(notes).quiet, 100 - NOTE_SAME_PER_S);
	for (unsigned i = 0; i < NOTE_SAME_PER_S; i++) {
		assert_true(notes_take(notes, &note));
		assert_int_equal(note.repeated, 0);
	}
	// Another port of the client is the same; another one of the server is not.
	note = denied(1, 25);
	note.key.from_port = 5;
	assert_false(notes_put(notes, &note, NOW + 999));
	assert_true(notes_put(notes, &note, NOW + 1000));
	assert_true(notes_take(notes, &note));
	assert_int_equal(note.repeated, 100 - NOTE_SAME_PER_S + 1);
	note = denied(1, 26);
	assert_true(notes_put(notes, &note, NOW + 1000));
	assert_true(notes_take(notes, &note));
	assert_int_equal(note.repeated, 0);
}

static unsigned scan(unsigned subject)
{
	unsigned noted = 0;
	for (uint16_t port = 1; port <= 1000; port++) {
		struct note note = denied(subject, port);
		noted += notes_put(notes, &note, NOW);
	}
	return noted;
}

static void test_one_peer_does_not_hide_what_others_did(void **state)
{
	struct note begun = {.type = NOTE_BEGUN, .key.to_subject = 1};
	struct note note = denied(2, 25);
	(void)state;
	assert_int_equal(scan(1), NOTE_DENIED_PER_S);
	assert_true(notes_put(notes, &note, NOW));
	// Nor do its denials hide what it was allowed.
	assert_int_equal(put_denied(&begun, 2000, NOW), NOTE_BEGUN_PER_S);
	assert_true(notes_put(notes, &note, NOW));
	assert_int_equal(notes_counters(notes).lost, 0);
}

static void test_peers_in_turn_have_their_limits(void **state)
{
	unsigned noted[3] = {0};
	(void)state;
	for (uint16_t port = 1; port <= 1000; port++) {
		for (unsigned subject = 1; subject <= 2; subject++) {
			struct note note = denied(subject, port);
			noted[subject] += notes_put(notes, &note, NOW);
		}
		struct note begun = {.type = NOTE_BEGUN, .key.from_subject = 1};
		noted[0] += notes_put(notes, &begun, NOW);
	}
	assert_int_equal(noted[1], NOTE_DENIED_PER_S);
	assert_int_equal(noted[2], NOTE_DENIED_PER_S);
	assert_int_equal(noted[0], NOTE_BEGUN_PER_S);
}

// Numbers that stood in one place of a table once, and whatever else may.
static void test_no_two_peers_share_a_limit(void **state)
{
	static unsigned noted[65536];
	(void)state;
	for (uint16_t port = 1; port <= 200; port++)
		for (unsigned subject = 1; subject < 65536; subject += 128) {
			struct note note = denied(subject, port), taken;
			noted[subject] += notes_put(notes, &note, NOW);
			notes_take(notes, &taken);
		}
	for (unsigned subject = 1; subject < 65536; subject += 128)
		assert_int_equal(noted[subject], NOTE_DENIED_PER_S);
	assert_int_equal(notes_counters(notes).lost, 0);
}

static void test_a_network_does_not_hide_what_a_peer_did(void **state)
{
	struct note note = denied(1, 25), other;
	unsigned noted = 0;
	(void)state;
	for (uint16_t port = 1; port <= 1000; port++) {
		other = denied(0, port);
		other.key.to_subject = 1;
		noted += notes_put(notes, &other, NOW);
	}
	assert_int_equal(noted, NOTE_DENIED_PER_S);
	assert_true(notes_put(notes, &note, NOW));
}

// What others do leaves the count of what was not noted, unless they may still be noted themselves.
static void test_who_is_over_takes_no_count_from_others(void **state)
{
	struct note note = denied(2, 25);
	(void)state;
	scan(1);
	assert_int_equal(put_denied(&note, 100, NOW), NOTE_SAME_PER_S);
	for (unsigned i = 0; i < 20; i++)
		scan(1);
	while (notes_take(notes, &note))
		continue;
	note = denied(2, 25);
	assert_true(notes_put(notes, &note, NOW + 1000));
	assert_true(notes_take(notes, &note));
	assert_int_equal(note.repeated, 100 - NOTE_SAME_PER_S);
}

static _Atomic unsigned arrived; // that notes_put() took

static void *produce(void *data)
{
	(void)data;
	for (uint32_t i = 0; i < FLOOD; i++) {
		struct note note = traced(i);
		if (notes_put(notes, &note, NOW))
			atomic_fetch_add(&arrived, 1);
	}
	return NULL;
}

// The consumer sleeps whenever the ring is empty: a wake-up that is missing would leave it there.
static void test_threads(void **state)
{
	struct note last = traced(FLOOD), note;
	struct pollfd fd = {.fd = wake, .events = POLLIN};
	unsigned taken = 0;
	uint32_t next = 0;
	pthread_t thread;
	(void)state;
	arrived = 0;
	assert_int_equal(pthread_create(&thread, NULL, produce, NULL), 0);
	do {
		assert_int_equal(poll(&fd, 1, 20000), 1);
		assert_true(woken());
		while (notes_take(notes, &note)) {
			assert_true(note.session_index >= next);
			next = note.session_index + 1;
			taken++;
		}
	} while (taken + notes_counters(notes).lost < FLOOD);
	pthread_join(thread, NULL);
	assert_int_equal(taken, arrived);
	assert_true(taken > 0);
	assert_true(notes_put(notes, &last, NOW));
	assert_int_equal(poll(&fd, 1, 0), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order_and_wakening, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_finds_no_room_is_counted, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_equal_denials_are_noted_seldom_and_counted,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_one_peer_does_not_hide_what_others_did, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_peers_in_turn_have_their_limits, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_no_two_peers_share_a_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_network_does_not_hide_what_a_peer_did,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_who_is_over_takes_no_count_from_others, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
