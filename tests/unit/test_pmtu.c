// SPDX-License-Identifier: Apache-2.0
// Path MTU discovery in simulated time, over a path of any MTU that loses packets and changes.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tun/pmtu.h"

#define MS_NS	  UINT64_C(1000000)
#define ON_WAY	  256u
#define DETECT_MS 2800u // a black hole, worst case: interval, tick, the tries
#define SEARCH_MS 5000u // of the widest range
#define NOT_YET	  UINT64_MAX

struct answer {
	unsigned size;
	uint64_t sent_ms;
	uint64_t at_ms; // 0: the slot is free
};

struct world {
	struct pmtu pmtu;
	struct pmtu_facts facts;
	struct answer answers[ON_WAY];
	uint64_t now;
	uint64_t tick_ms;
	uint64_t random;
	unsigned path;	      // largest inner packet that arrives; 0: none does
	unsigned loss;	      // percent, each way
	unsigned rtt_ms;
	unsigned large_every; // ms between large packets; 0: none
	// what was seen
	unsigned probes;
	unsigned changes;      // of the size in use
	unsigned largest;      // probe
	uint64_t too_large_ms; // time spent with a size above the path's
	uint64_t too_large_longest_ms;
	uint64_t right_ms; // since when the size has been right, NOT_YET
};

// xorshift64: the same run every time.
static unsigned below(struct world *world, unsigned limit)
{
	world->random ^= world->random << 13;
	world->random ^= world->random >> 7;
	world->random ^= world->random << 17;
	return (unsigned)(world->random >> 33) % limit;
}

static struct world world_of(unsigned ceiling, unsigned path, unsigned rtt_ms)
{
	struct world world = {
		.now = 1000,
		.random = UINT64_C(0x9e3779b97f4a7c15) ^ ((uint64_t)ceiling << 32 | path),
		.path = path,
		.rtt_ms = rtt_ms,
		.facts = {.rtt_ns = rtt_ms * MS_NS},
		.right_ms = NOT_YET,
	};
	pmtu_init(&world.pmtu, ceiling, world.now);
	return world;
}

static void send_probe(struct world *world, unsigned size)
{
	assert_true(size >= PMTU_MIN && size <= world->pmtu.ceiling);
	world->probes++;
	if (size > world->largest)
		world->largest = size;
	if (size > world->path || below(world, 100) < world->loss ||
	    below(world, 100) < world->loss)
		return;
	for (unsigned i = 0; i < ON_WAY; i++) {
		struct answer *answer = &world->answers[i];
		if (answer->at_ms)
			continue;
		*answer = (struct answer){size, world->now, world->now + world->rtt_ms};
		return;
	}
	fail_msg("more probes on their way than anybody needs");
}

static void take_answers(struct world *world)
{
	for (unsigned i = 0; i < ON_WAY; i++) {
		struct answer *answer = &world->answers[i];
		if (!answer->at_ms || answer->at_ms > world->now)
			continue;
		answer->at_ms = 0;
		pmtu_answer(&world->pmtu, answer->size, answer->sent_ms);
		world->tick_ms = world->now;
	}
}

static unsigned right_size(const struct world *world)
{
	return world->path < world->pmtu.ceiling ? world->path : world->pmtu.ceiling;
}

static void observe(struct world *world)
{
	unsigned right = right_size(world);
	bool good = world->pmtu.size <= right && world->pmtu.size + PMTU_GRANULE > right;
	if (!good)
		world->right_ms = NOT_YET;
	else if (world->right_ms == NOT_YET)
		world->right_ms = world->now;
	if (world->pmtu.size > world->path)
		world->too_large_ms++;
	else
		world->too_large_ms = 0;
	if (world->too_large_ms > world->too_large_longest_ms)
		world->too_large_longest_ms = world->too_large_ms;
}

static void run(struct world *world, uint64_t ms)
{
	for (uint64_t until = world->now + ms; world->now < until; world->now++) {
		unsigned size, was = world->pmtu.size;
		if (world->large_every && world->now % world->large_every == 0)
			world->facts.large_sent_ms = world->now;
		take_answers(world);
		if (world->now >= world->tick_ms) {
			while (pmtu_tick(&world->pmtu, &world->facts, world->now, &size) ==
			       PMTU_PROBE)
				send_probe(world, size);
			world->tick_ms = pmtu_deadline(&world->pmtu, world->now);
			assert_true(world->tick_ms > world->now);
		}
		world->changes += world->pmtu.size != was;
		observe(world);
	}
}

static void assert_described(const struct world *world, const char *text)
{
	char described[PMTU_TEXT_MAX];
	pmtu_describe(&world->pmtu, described, sizeof(described));
	assert_string_equal(described, text);
}

static void a_path_as_agreed_is_known_after_one_trip(void **state)
{
	(void)state;
	struct world world = world_of(1440, 1440, 30);
	assert_int_equal(world.pmtu.size, PMTU_BASE);
	assert_described(&world, "path not measured yet");
	run(&world, 40);
	assert_int_equal(world.pmtu.size, 1440);
	assert_described(&world, "agreed");
	run(&world, 3600000);
	assert_int_equal(world.probes, 2);
	assert_int_equal(world.changes, 1);
}

static void every_path_is_found(void **state)
{
	(void)state;
	const unsigned ceilings[] = {1280, 1392, 1440, 8940, 65000};
	for (size_t c = 0; c < sizeof(ceilings) / sizeof(ceilings[0]); c++) {
		for (unsigned path = 300; path <= 9000; path += path < 1500 ? 1 : 37) {
			struct world world = world_of(ceilings[c], path, 20);
			run(&world, 10000);
			unsigned right = right_size(&world);
			assert_int_equal(world.pmtu.state, PMTU_COMPLETE);
			assert_true(world.pmtu.size <= right &&
				    world.pmtu.size + PMTU_GRANULE > right);
			assert_true(world.right_ms <= 1000 + 1600 + SEARCH_MS);
			assert_int_equal(world.pmtu.size < PMTU_BASE, pmtu_is_small(&world.pmtu));
			assert_true(world.probes <= 120);
			// The base is above small paths until that is noticed.
			assert_true(world.too_large_longest_ms <= DETECT_MS);
		}
	}
}

static void known_paths_are_found_quickly(void **state)
{
	(void)state;
	const unsigned paths[] = {1432, 1412, 1392, 1240, 540};
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct world world = world_of(1440, paths[i], 30);
		run(&world, 2500);
		assert_in_range(world.pmtu.size, paths[i] - 32, paths[i]);
	}
	struct world world = world_of(1440, 1392, 30);
	run(&world, 5000);
	assert_int_equal(world.pmtu.size, 1392);
	assert_described(&world, "found by probing");
}

static void the_smallest_path_is_found(void **state)
{
	(void)state;
	for (unsigned path = PMTU_MIN; path < 300; path++) {
		struct world world = world_of(1440, path, 20);
		run(&world, 10000);
		assert_true(world.pmtu.size <= path && world.pmtu.size + PMTU_GRANULE > path);
	}
	struct world world = world_of(1440, 540, 20);
	run(&world, 10000);
	assert_in_range(world.pmtu.size, 533, 540);
	assert_true(pmtu_is_small(&world.pmtu));
	char text[PMTU_TEXT_MAX];
	pmtu_describe(&world.pmtu, text, sizeof(text));
	assert_non_null(strstr(text, "path carries only 53"));
}

// Outer 1300 and 600 bytes: less than the base inside.
static void black_holes_are_left_within_3_s(void **state)
{
	(void)state;
	const unsigned holes[] = {1380, 1360, 1300, 1280, 1240, 1220, 540, 520, 300};
	for (unsigned phase = 0; phase < 1500; phase += 7) {
		for (size_t i = 0; i < sizeof(holes) / sizeof(holes[0]); i++) {
			struct world world = world_of(1392, 1440, 20);
			world.large_every = 10;
			run(&world, 5000 + phase);
			assert_int_equal(world.pmtu.size, 1392);
			world.path = holes[i];
			run(&world, DETECT_MS + 20);
			assert_true(holes[i] < 516 || world.pmtu.size <= holes[i]);
			run(&world, 3000);
			assert_true(world.pmtu.size <= holes[i]);
			assert_true(world.pmtu.size + PMTU_GRANULE > holes[i]);
		}
	}
}

static void a_black_hole_is_told(void **state)
{
	(void)state;
	struct world world = world_of(1392, 1392, 20);
	world.large_every = 10;
	run(&world, 5000);
	world.path = 1340;
	run(&world, 2600);
	assert_in_range(world.pmtu.size, 1280, 1340);
	run(&world, 5000);
	assert_described(&world, "black hole at 1392, found 1340");
	world.path = 516;
	run(&world, 6000);
	assert_described(&world, "black hole at 1340, path carries only 516 bytes");
	world.path = 1500;
	run(&world, 100000);
	assert_described(&world, "agreed");
}

static void an_idle_session_sends_nothing(void **state)
{
	(void)state;
	struct world world = world_of(1392, 1392, 20);
	run(&world, 5000);
	unsigned before = world.probes;
	world.path = 1300;
	run(&world, 3600000);
	assert_int_equal(world.probes, before);
	// The first large packets show the hole.
	world.large_every = 50;
	run(&world, DETECT_MS);
	assert_true(world.pmtu.size <= 1300);
}

static void traffic_costs_one_probe_a_second(void **state)
{
	(void)state;
	struct world world = world_of(1392, 1392, 20);
	world.large_every = 1;
	run(&world, 600000);
	assert_true(world.probes <= 610);
	assert_int_equal(world.changes, 1);
}

static void a_larger_path_is_found_in_time(void **state)
{
	(void)state;
	for (unsigned more = 16; more <= 112; more += 8) {
		struct world world = world_of(1440, 1300, 20);
		run(&world, 10000);
		world.path = 1300 + more;
		run(&world, PMTU_RAISE_MIN_MS);
		assert_true(world.pmtu.size <= world.path);
		assert_true(world.pmtu.size + PMTU_GRANULE > world.path);
	}
	// After an hour without success it is tried every ten minutes.
	struct world world = world_of(1440, 1300, 20);
	run(&world, 3600000);
	unsigned before = world.probes;
	run(&world, 3600000);
	assert_in_range(world.probes - before, 6 * 3, 7 * PMTU_ROUND_MAX * 3);
	world.path = 1440;
	run(&world, PMTU_RAISE_MAX_MS + 5000);
	assert_int_equal(world.pmtu.size, 1440);
}

static void a_dead_path_says_nothing_of_sizes(void **state)
{
	(void)state;
	struct world world = world_of(1392, 1392, 20);
	world.large_every = 10;
	run(&world, 5000);
	world.path = 0;
	run(&world, 60000);
	assert_int_equal(world.pmtu.size, 1392);
	world.path = 1392;
	run(&world, 5000);
	assert_int_equal(world.pmtu.size, 1392);
	assert_int_equal(world.changes, 1);
	// Dead from the start.
	world = world_of(1392, 0, 20);
	run(&world, 60000);
	assert_int_equal(world.pmtu.size, PMTU_BASE);
	assert_true(world.probes <= 12 * 4 * 15);
	world.path = 1300;
	run(&world, 12000);
	assert_in_range(world.pmtu.size, 1293, 1300);
}

static void a_move_keeps_the_size_until_it_is_proven_wrong(void **state)
{
	(void)state;
	struct world world = world_of(1440, 1412, 20);
	run(&world, 5000);
	assert_int_equal(world.pmtu.size, 1412);
	pmtu_moved(&world.pmtu, world.now);
	world.tick_ms = world.now;
	run(&world, 5000);
	assert_int_equal(world.pmtu.size, 1412);
	unsigned changes = world.changes;

	world.path = 1240;
	pmtu_moved(&world.pmtu, world.now);
	world.tick_ms = world.now;
	run(&world, DETECT_MS);
	assert_true(world.pmtu.size <= 1240);
	world.path = 1440;
	pmtu_moved(&world.pmtu, world.now);
	world.tick_ms = world.now;
	run(&world, 100);
	assert_int_equal(world.pmtu.size, 1440);
	assert_true(world.changes - changes <= 4);
}

// What was sent over the old path says nothing of the new one.
static void answers_of_the_old_path_do_not_count(void **state)
{
	(void)state;
	struct world world = world_of(1440, 1440, 20);
	run(&world, 5000);
	pmtu_moved(&world.pmtu, world.now);
	pmtu_answer(&world.pmtu, 1440, world.now - 1);
	assert_int_equal(world.pmtu.proven, 0);
	pmtu_answer(&world.pmtu, 1441, world.now);
	assert_int_equal(world.pmtu.proven, 0);
	pmtu_answer(&world.pmtu, 1440, world.now);
	assert_int_equal(world.pmtu.proven, 1440);
}

static void another_agreement_holds_at_once(void **state)
{
	(void)state;
	struct world world = world_of(1440, 1440, 20);
	run(&world, 5000);
	pmtu_agree(&world.pmtu, 1300, world.now);
	assert_int_equal(world.pmtu.size, 1300);
	world.tick_ms = world.now;
	run(&world, 5000);
	assert_int_equal(world.pmtu.size, 1300);
	assert_described(&world, "agreed");
	pmtu_agree(&world.pmtu, 1400, world.now);
	world.tick_ms = world.now;
	run(&world, 1000);
	assert_int_equal(world.pmtu.size, 1400);
	unsigned probes = world.probes;
	pmtu_agree(&world.pmtu, 1400, world.now);
	run(&world, 1000);
	assert_int_equal(world.probes, probes);
}

static void a_hint_asks_and_is_not_believed(void **state)
{
	(void)state;
	struct world world = world_of(1440, 1440, 20);
	run(&world, 5000);
	unsigned before = world.probes;
	for (unsigned i = 0; i < 1000; i++) {
		pmtu_hint(&world.pmtu, 600 + i % 700, world.now);
		world.tick_ms = pmtu_deadline(&world.pmtu, world.now);
		run(&world, 1);
	}
	assert_int_equal(world.pmtu.size, 1440);
	assert_in_range(world.probes - before, 1, 5);

	// A true one spares the wait for the next confirmation and finds the exact size.
	world.path = 1377;
	pmtu_hint(&world.pmtu, 1377, world.now);
	world.tick_ms = pmtu_deadline(&world.pmtu, world.now);
	run(&world, 3000);
	assert_int_equal(world.pmtu.size, 1377);

	// Upwards.
	world.path = 1440;
	run(&world, 9000);
	pmtu_hint(&world.pmtu, 1440, world.now);
	run(&world, 3000);
	assert_int_equal(world.pmtu.size, 1440);
}

static void a_far_peer_is_given_its_time(void **state)
{
	(void)state;
	for (unsigned rtt_ms = 300; rtt_ms <= 1500; rtt_ms += 300) {
		struct world world = world_of(1440, 1400, rtt_ms);
		world.large_every = 10;
		run(&world, 120000);
		assert_in_range(world.pmtu.size, 1393, 1400);
		assert_int_equal(world.pmtu.hole, 0);
	}
	// Also before its distance is known: what comes late counts.
	struct world world = world_of(1440, 1440, 1800);
	world.facts.rtt_ns = 0;
	world.large_every = 10;
	run(&world, 120000);
	assert_int_equal(world.pmtu.size, 1440);
}

static void loss_is_not_taken_for_a_black_hole(void **state)
{
	(void)state;
	unsigned holes = 0, off = 0;
	for (unsigned seed = 1; seed <= 60; seed++) {
		struct world world = world_of(1440, 1300 + seed, 20);
		world.random += seed * 7919;
		world.loss = seed % 21;
		world.large_every = 10;
		run(&world, 200000);
		unsigned right = right_size(&world);
		assert_true(world.pmtu.size <= right);
		assert_true(world.pmtu.size >= PMTU_BASE);
		off += world.pmtu.size + 3 * PMTU_GRANULE < right;
		holes += world.pmtu.hole != 0;
		assert_true(world.changes <= 12);
		assert_true(world.probes <= 200 * 4);
	}
	assert_int_equal(holes, 0);
	assert_true(off <= 3);
}

// Any path becomes any other at any time, with any loss.
static void the_size_follows_the_path(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 150; seed++) {
		struct world world = world_of(seed % 3 ? 1440 : 8940, 1440, 5 + seed % 80);
		world.random += seed * 104729;
		world.loss = seed % 2 ? 0 : seed % 21;
		world.large_every = 20;
		for (unsigned i = 0; i < 8; i++) {
			run(&world, below(&world, 2) ? 20000 : below(&world, 20000));
			world.path = 300 + below(&world, i % 2 ? 1200 : 8700);
			world.too_large_longest_ms = world.too_large_ms = 0;
			unsigned changes = world.changes;
			run(&world, 10000);
			// In the middle of a search the end of that is waited for.
			uint64_t most = DETECT_MS + SEARCH_MS + (world.loss ? 3000 : 0);
			assert_true(world.pmtu.size <= world.path);
			assert_true(world.too_large_longest_ms <= most);
			assert_true(world.changes - changes <= 24);
		}
		run(&world, 150000);
		unsigned right = right_size(&world);
		assert_true(world.loss || world.pmtu.size + PMTU_GRANULE > right);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_as_agreed_is_known_after_one_trip),
		cmocka_unit_test(every_path_is_found),
		cmocka_unit_test(known_paths_are_found_quickly),
		cmocka_unit_test(the_smallest_path_is_found),
		cmocka_unit_test(black_holes_are_left_within_3_s),
		cmocka_unit_test(a_black_hole_is_told),
		cmocka_unit_test(an_idle_session_sends_nothing),
		cmocka_unit_test(traffic_costs_one_probe_a_second),
		cmocka_unit_test(a_larger_path_is_found_in_time),
		cmocka_unit_test(a_dead_path_says_nothing_of_sizes),
		cmocka_unit_test(a_move_keeps_the_size_until_it_is_proven_wrong),
		cmocka_unit_test(answers_of_the_old_path_do_not_count),
		cmocka_unit_test(another_agreement_holds_at_once),
		cmocka_unit_test(a_hint_asks_and_is_not_believed),
		cmocka_unit_test(a_far_peer_is_given_its_time),
		cmocka_unit_test(loss_is_not_taken_for_a_black_hole),
		cmocka_unit_test(the_size_follows_the_path),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
