// SPDX-License-Identifier: Apache-2.0

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tun/fragment.h"
#include "unit/packet_fixture.h"

#define PEER	 7u
#define NOW	 1000000u
#define UNITS	 24u // of 8 bytes, in random packets
#define RANDOM	 20000u
#define THREADS	 4
#define OF_FLOOD 10000u

static struct fragments *fragments;
static const struct flow_key key = {.protocol = IPPROTO_UDP, .to_port = 53};

static int set_up(void **state)
{
	(void)state;
	fragments = fragments_new();
	return fragments ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	fragments = fragments_free(fragments);
	return 0;
}

static struct inner piece(uint32_t id, unsigned begin, unsigned end, bool last)
{
	return (struct inner){
		.source = {.family = AF_INET, .bytes = {10, 0, 0, 1}},
		.destination = {.family = AF_INET, .bytes = {10, 0, 0, 2}},
		.protocol = IPPROTO_UDP,
		.part = begin ? INNER_LATER : INNER_FIRST,
		.offset = (uint16_t)begin,
		.length = (uint16_t)(end - begin),
		.last = last,
		.id = id,
	};
}

static enum drop give_first(unsigned peer, const struct inner *inner, enum drop verdict,
			    uint64_t now_ms)
{
	return fragment_first(fragments, peer, inner, &key, verdict, now_ms);
}

static enum drop give_later(unsigned peer, const struct inner *inner, uint64_t now_ms)
{
	struct flow_key told = {0};
	enum drop drop = fragment_later(fragments, peer, inner, now_ms, &told);
	assert_int_equal(told.to_port, drop == DROP_NONE ? key.to_port : 0);
	return drop;
}

static enum drop give_at(uint32_t id, unsigned begin, unsigned end, bool last, uint64_t now_ms)
{
	struct inner inner = piece(id, begin, end, last);
	return begin ? give_later(PEER, &inner, now_ms)
		     : give_first(PEER, &inner, DROP_NONE, now_ms);
}

static enum drop give(uint32_t id, unsigned begin, unsigned end, bool last)
{
	return give_at(id, begin, end, last, NOW);
}

static void later_ones_follow_the_first(void **state)
{
	(void)state;
	assert_int_equal(give(1, 0, 800, false), DROP_NONE);
	assert_int_equal(give(1, 1600, 1700, true), DROP_NONE);
	assert_int_equal(give(1, 800, 1600, false), DROP_NONE);
	// All are there: what comes now is another packet.
	assert_int_equal(give(1, 800, 1600, false), DROP_FRAGMENT);
	assert_int_equal(give(1, 0, 800, false), DROP_NONE);
	assert_int_equal(give(1, 800, 900, true), DROP_NONE);
}

static void before_the_first_none_passes(void **state)
{
	(void)state;
	assert_int_equal(give(1, 800, 1600, false), DROP_FRAGMENT);
	assert_int_equal(give(1, 0, 800, false), DROP_NONE);
	assert_int_equal(give(1, 800, 1600, false), DROP_NONE);
}

static void a_denied_first_denies_the_rest(void **state)
{
	(void)state;
	struct inner first = piece(1, 0, 800, false);
	assert_int_equal(give_first(PEER, &first, DROP_POLICY, NOW), DROP_POLICY);
	assert_int_equal(give(1, 800, 1600, false), DROP_POLICY);
	// One that would be allowed changes nothing.
	assert_int_equal(give(1, 0, 800, false), DROP_OVERLAP);
	assert_int_equal(give(1, 800, 1600, false), DROP_OVERLAP);
}

static void an_overlap_poisons_the_packet(void **state)
{
	(void)state;
	const unsigned second[][3] = {
		{0, 8, 0},	 {0, 800, 0},	  {8, 16, 0},	   {792, 800, 0},
		{792, 1600, 0},	 {8, 2400, 1},	  {1592, 1608, 0}, {1600, 2400, 0},
		{1608, 1610, 1}, {2400, 3200, 0}, {2396, 2400, 1}, {800, 1000, 1},
	};
	for (unsigned i = 0; i < sizeof(second) / sizeof(second[0]); i++) {
		assert_int_equal(give(i, 0, 800, false), DROP_NONE);
		assert_int_equal(give(i, 1600, 2396, true), DROP_NONE);
		assert_int_equal(give(i, second[i][0], second[i][1], second[i][2]), DROP_OVERLAP);
		assert_int_equal(give(i, 800, 1600, false), DROP_OVERLAP);
	}
}

static void each_packet_is_known_by_all_that_it_says(void **state)
{
	(void)state;
	struct inner other = piece(1, 800, 1600, false);
	assert_int_equal(give(1, 0, 800, false), DROP_NONE);
	assert_int_equal(give_later(PEER + 1, &other, NOW), DROP_FRAGMENT);
	other.source.bytes[3]++;
	assert_int_equal(give_later(PEER, &other, NOW), DROP_FRAGMENT);
	other = piece(1, 800, 1600, false);
	other.destination.bytes[3]++;
	assert_int_equal(give_later(PEER, &other, NOW), DROP_FRAGMENT);
	other = piece(1, 800, 1600, false);
	other.protocol = IPPROTO_TCP;
	assert_int_equal(give_later(PEER, &other, NOW), DROP_FRAGMENT);
	assert_int_equal(give(2, 800, 1600, false), DROP_FRAGMENT);
	assert_int_equal(give(1, 800, 1600, false), DROP_NONE);
	// IPv6: later ones need not say which.
	struct inner first = piece(9, 0, 800, false), later = piece(9, 800, 808, true);
	first.source.family = later.source.family = AF_INET6;
	later.protocol = IPPROTO_DSTOPTS;
	assert_int_equal(give_first(PEER, &first, DROP_NONE, NOW), DROP_NONE);
	assert_int_equal(give_later(PEER, &later, NOW), DROP_NONE);
}

static void time_runs_out(void **state)
{
	(void)state;
	assert_int_equal(give(1, 0, 800, false), DROP_NONE);
	assert_int_equal(give_at(1, 800, 1600, false, NOW + FRAGMENT_MS), DROP_NONE);
	assert_int_equal(give_at(1, 1600, 2400, false, NOW + FRAGMENT_MS + 1), DROP_FRAGMENT);
	assert_int_equal(give_at(1, 0, 800, false, NOW + FRAGMENT_MS + 1), DROP_NONE);
}

// Workers read the clock once per round: one may be behind another.
static void a_clock_behind_is_no_expiry(void **state)
{
	(void)state;
	assert_int_equal(give_at(1, 0, 800, false, NOW + 5), DROP_NONE);
	assert_int_equal(give_at(1, 800, 1600, true, NOW), DROP_NONE);
}

static void holes_are_bounded(void **state)
{
	(void)state;
	assert_int_equal(give(1, 0, 8, false), DROP_NONE);
	for (unsigned i = 1; i < FRAGMENT_RANGES; i++)
		assert_int_equal(give(1, i * 16, i * 16 + 8, false), DROP_NONE);
	assert_int_equal(give(1, 16 * FRAGMENT_RANGES, 16 * FRAGMENT_RANGES + 8, false),
			 DROP_FRAGMENT);
	assert_int_equal(give(1, 8, 16, false), DROP_NONE); // fills one
	assert_int_equal(give(1, 16 * FRAGMENT_RANGES, 16 * FRAGMENT_RANGES + 8, false), DROP_NONE);
}

// As it would be done with a byte for each unit.
static void ranges_are_what_a_map_of_units_says(void **state)
{
	(void)state;
	uint64_t random = 1;
	for (uint32_t id = 0; id < RANDOM; id++) {
		bool map[UNITS] = {false}, poisoned = false;
		unsigned end = 0, filled = 4;
		assert_int_equal(give(id, 0, 32, false), DROP_NONE);
		memset(map, true, 4);
		while (!poisoned && filled != end) {
			unsigned at = 1 + packet_random(&random) % (UNITS - 1);
			unsigned to = at + 1 + packet_random(&random) % (UNITS - at);
			bool last = packet_random(&random) % 4 == 0;
			poisoned = end && (last || to > end);
			for (unsigned i = at; i < UNITS; i++)
				poisoned |= map[i] && (i < to || last);
			assert_int_equal(give(id, at * 8, to * 8 - (last ? 3 : 0), last),
					 poisoned ? DROP_OVERLAP : DROP_NONE);
			memset(map + at, true, to - at);
			filled += to - at;
			end = last ? to : end;
		}
	}
}

static void a_peer_harms_itself_only(void **state)
{
	(void)state;
	struct inner first = piece(1, 0, 800, false), later = piece(1, 800, 1600, true);
	for (unsigned peer = 0; peer < 2 * FRAGMENT_PLACES; peer++) {
		assert_int_equal(give_first(peer, &first, DROP_NONE, NOW), DROP_NONE);
		for (unsigned i = 0; i < OF_FLOOD / 10; i++)
			give_at(100 + i, 0, 800, false, NOW + 1);
		if (peer != PEER)
			assert_int_equal(give_later(peer, &later, NOW), DROP_NONE);
	}
	assert_int_equal(give(1, 800, 1600, true), DROP_FRAGMENT);
	// Of a flood the newest are there.
	for (unsigned i = 0; i < OF_FLOOD; i++)
		assert_int_equal(give_at(i, 0, 800, false, NOW + 10 + i), DROP_NONE);
	assert_int_equal(give_at(OF_FLOOD - FRAGMENT_SHARE, 800, 1600, true, NOW + 10 + OF_FLOOD),
			 DROP_NONE);
	assert_int_equal(
		give_at(OF_FLOOD - FRAGMENT_SHARE - 1, 800, 1600, true, NOW + 10 + OF_FLOOD),
		DROP_FRAGMENT);
}

static void *run(void *argument)
{
	uint32_t base = (uint32_t)(uintptr_t)argument << 24;
	for (uint32_t i = 0; i < OF_FLOOD; i++) {
		// Fewer than a share at once, so that all get through.
		if (give(base + i, 0, 800, false) != DROP_NONE ||
		    give(base + i, 800, 900, true) != DROP_NONE)
			return argument;
	}
	return NULL;
}

static void workers_share_it(void **state)
{
	(void)state;
	pthread_t threads[THREADS];
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run, (void *)(i + 1)), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		void *failed;
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(later_ones_follow_the_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(before_the_first_none_passes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_denied_first_denies_the_rest, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_overlap_poisons_the_packet, set_up, tear_down),
		cmocka_unit_test_setup_teardown(each_packet_is_known_by_all_that_it_says, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(time_runs_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_clock_behind_is_no_expiry, set_up, tear_down),
		cmocka_unit_test_setup_teardown(holes_are_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ranges_are_what_a_map_of_units_says, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_peer_harms_itself_only, set_up, tear_down),
		cmocka_unit_test_setup_teardown(workers_share_it, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
