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
#include "server/regrant.c"

#define MANY	2000u
#define WAIT_MS 10000u

struct member {
	size_t place;
	bool waits; // the first time
	bool goes;
	unsigned granted;
};

// Instead of server/review.c: the same walk, over these.
struct review {
	struct member *members[2 * MANY];
	size_t count;
};

static struct member members[2 * MANY];
static struct review review;
static struct regrant *regrant;
static sd_event *event;
static unsigned done_count, turns;

struct member *review_before(const struct review *walked, size_t *cursor)
{
	if (*cursor > walked->count)
		*cursor = walked->count;
	return *cursor > 0 ? walked->members[--*cursor] : NULL;
}

static void add(struct member *member)
{
	member->place = review.count;
	review.members[review.count++] = member;
}

static void drop(struct member *member)
{
	struct member *last = review.members[--review.count];
	review.members[member->place] = last;
	last->place = member->place;
}

static bool on_grant(struct member *member, bool last, void *data)
{
	assert_ptr_equal(data, &review);
	member->granted++;
	for (volatile unsigned i = 0; i < 30000; i++)
		continue; // a while
	if (member->goes && !last)
		drop(member);
	return last || !member->waits;
}

static void on_done(void *data)
{
	assert_ptr_equal(data, &members);
	done_count++;
}

// Each turn of the loop somebody goes and somebody comes.
static int on_turn(sd_event_source *source, uint64_t usec, void *data)
{
	(void)usec;
	(void)data;
	slices_go_on(source);
	turns++;
	if (review.count < 2 * MANY - 1 && turns <= MANY / 2) {
		drop(review.members[turns % review.count]);
		add(&members[MANY + turns]);
	}
	return 0;
}

static int set_up(void **state)
{
	const struct regrant_tools tools = {.review = &review, .grant = on_grant, .data = &review};
	(void)state;
	memset(members, 0, sizeof(members));
	review.count = done_count = turns = 0;
	for (unsigned i = 0; i < MANY; i++)
		add(&members[i]);
	if (sd_event_new(&event) < 0)
		return -1;
	struct regrant_tools with = tools;
	with.event = event;
	regrant = regrant_new(&with);
	return regrant ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	regrant = regrant_free(regrant);
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

static void nobody_is_forgotten_who_is_there_all_the_time(void **state)
{
	sd_event_source *source;
	bool gone[MANY] = {false};
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
		gone[i] = true;
	for (size_t i = 0; i < review.count; i++)
		if (review.members[i] < &members[MANY])
			gone[review.members[i] - members] = false;
	for (unsigned i = 0; i < MANY; i++)
		assert_true(gone[i] || members[i].granted >= 1);
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
		CASE(nobody_is_forgotten_who_is_there_all_the_time),
		CASE(it_may_end_before_it_is_done),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
