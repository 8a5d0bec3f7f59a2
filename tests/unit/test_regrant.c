// SPDX-License-Identifier: Apache-2.0
// The walk alone, over members that are none: who is granted, how often, and that the loop has its turn in between.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "server/member.h"
#include "server/regrant.c"
#include "server/roster.c"

#define MANY	2000u
#define WAIT_MS 10000u

struct member {
	uint64_t number;
	char identity[16];
	bool waits; // the first time
	bool goes, gone;
	unsigned granted;
};

static struct member members[2 * MANY];
static struct roster *roster;
static struct regrant *regrant;
static sd_event *event;
static unsigned done_count, turns;

uint64_t *member_number(struct member *member)
{
	return &member->number;
}

const char *member_identity(const struct member *member)
{
	return member->identity;
}

static void add(struct member *member)
{
	snprintf(member->identity, sizeof(member->identity), "%d", (int)(member - members));
	assert_int_equal(roster_add(roster, member), 0);
}

static bool on_grant(struct member *member, bool last, void *data)
{
	assert_ptr_equal(data, roster);
	member->granted++;
	for (volatile unsigned i = 0; i < 30000; i++)
		continue; // a while
	if (member->goes && !last)
		roster_remove(roster, member);
	return last || !member->waits;
}

static void on_done(void *data)
{
	assert_ptr_equal(data, &members);
	done_count++;
}

// Each turn of the loop somebody goes, of those who were granted and of the others, and somebody comes.
static int on_turn(sd_event_source *source, uint64_t usec, void *data)
{
	(void)usec;
	(void)data;
	slices_go_on(source);
	if (turns < MANY / 2) {
		struct member *member = &members[turns % 2 ? turns : MANY - 1 - turns];
		roster_remove(roster, member);
		member->gone = true;
		add(&members[MANY + turns]);
	}
	turns++;
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	memset(members, 0, sizeof(members));
	done_count = turns = 0;
	roster = roster_new();
	for (unsigned i = 0; i < MANY; i++)
		add(&members[i]);
	if (sd_event_new(&event) < 0)
		return -1;
	const struct regrant_tools tools = {
		.event = event, .roster = roster, .grant = on_grant, .data = roster};
	regrant = regrant_new(&tools);
	return regrant ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	regrant = regrant_free(regrant);
	roster = roster_free(roster);
	event = sd_event_unref(event);
	return 0;
}

static void run(void)
{
	uint64_t end = clock_ms() + WAIT_MS;
	while (done_count == 0) {
		assert_true(clock_ms() < end);
		assert_true(sd_event_run(event, 100000) >= 0);
	}
	// It is over.
	assert_int_equal(sd_event_run(event, 1000), 0);
	assert_int_equal(done_count, 1);
}

static void everybody_is_granted_once(void **state)
{
	(void)state;
	regrant_start(regrant, on_done, &members);
	assert_int_equal(members[0].granted, 0);
	run();
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(members[i].granted, 1);
	done_count = 0;
	regrant_start(regrant, on_done, &members);
	run();
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(members[i].granted, 2);
}

static void who_waits_has_a_second_round(void **state)
{
	(void)state;
	members[MANY - 1].waits = true;
	members[7].goes = true;
	regrant_start(regrant, on_done, &members);
	run();
	assert_int_equal(members[7].granted, 1);
	assert_int_equal(members[8].granted, 2);
	// Once more begins with the first round.
	members[MANY - 1].waits = false;
	done_count = 0;
	regrant_start(regrant, on_done, &members);
	run();
	assert_int_equal(members[8].granted, 3);
}

static void who_comes_to_wait_meanwhile_has_one_too(void **state)
{
	(void)state;
	assert_false(regrant_wait(regrant));
	regrant_start(regrant, on_done, &members);
	assert_true(regrant_wait(regrant));
	run();
	assert_int_equal(members[0].granted, 2);
	assert_false(regrant_wait(regrant));
	// In the last round it is too late.
	done_count = 0;
	members[MANY - 1].waits = true;
	regrant_start(regrant, on_done, &members);
	while (members[MANY - 1].granted < 4)
		assert_true(sd_event_run(event, 1000000) > 0);
	assert_false(regrant_wait(regrant));
	run();
	assert_int_equal(members[0].granted, 4);
}

static void who_is_there_all_the_time_is_granted_once(void **state)
{
	sd_event_source *source;
	(void)state;
	assert_int_equal(slices_new(event, on_turn, NULL, &source), 0);
	slices_go_on(source);
	regrant_start(regrant, on_done, &members);
	uint64_t end = clock_ms() + WAIT_MS;
	while (done_count == 0) {
		assert_true(clock_ms() < end);
		assert_true(sd_event_run(event, 100000) >= 0);
	}
	assert_true(turns > 1);
	for (unsigned i = 0; i < MANY; i++)
		assert_true(members[i].gone || members[i].granted == 1);
	for (unsigned i = MANY; i < 2 * MANY; i++)
		assert_true(members[i].granted <= 1);
	sd_event_source_disable_unref(source);
}

static void it_may_end_before_it_is_done(void **state)
{
	(void)state;
	regrant_start(regrant, on_done, &members);
	assert_true(sd_event_run(event, 100000) > 0);
	regrant = regrant_free(regrant);
	assert_int_equal(sd_event_run(event, 1000), 0);
	assert_int_equal(done_count, 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(everybody_is_granted_once),
		CASE(who_waits_has_a_second_round),
		CASE(who_comes_to_wait_meanwhile_has_one_too),
		CASE(who_is_there_all_the_time_is_granted_once),
		CASE(it_may_end_before_it_is_done),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
