// SPDX-License-Identifier: Apache-2.0
// Links whose gateway is away for a while, or of which anything is told at any time.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/link_fixture.h"

#define SEEDS 10000u

// The gateway refuses connections for a while; how long after its return does the link dial?
static void outage(uint64_t seed)
{
	uint64_t state = seed;
	unsigned endpoints = 1 + (unsigned)draw(&state, 3);
	_cleanup_(link_freep) struct link *link = link_up(endpoints, seed, START);
	uint64_t lost = START + LINK_SETTLED_MS + draw(&state, 3000000);
	uint64_t away = draw(&state, 2) ? draw(&state, 4000) : draw(&state, 60000);
	uint64_t now = lost;

	link_down(link, 0, lost);
	assert_int_equal(dial_next(link, now), lost);
	while (now < lost + away) {
		now += draw(&state, 5); // connection refused
		link_failed(link, 0, now);
		now = dial_next(link, now);
	}
	uint64_t cap = away / 4 > LINK_CAP_MIN_MS ? away / 4 : LINK_CAP_MIN_MS;
	assert_in_range(now, lost + away, lost + away + cap + 5);
	link_ready(link, now);
	assert_int_equal(link_state(link), LINK_UP);
}

static void test_outages(void **unused)
{
	(void)unused;
	for (unsigned seed = 0; seed < SEEDS; seed++)
		outage(seed);
}

// 200 peers of a gateway that was killed and comes back after 10 s do not come in one heap.
static void test_no_thundering_herd(void **unused)
{
	(void)unused;
	unsigned heap[40] = {0};

	for (unsigned seed = 0; seed < 200; seed++) {
		_cleanup_(link_freep) struct link *link = link_up(1, seed, START);
		uint64_t now = START + 60000;

		link_down(link, 0, now);
		while (now < START + 70000) {
			now = dial_next(link, now);
			link_failed(link, 0, now);
		}
		assert_true(now < START + 73000);
		heap[(now - START - 70000) / 100]++;
	}
	for (unsigned i = 0; i < 40; i++)
		assert_true(heap[i] <= 40);
}

struct world {
	struct link *link;
	uint64_t now, state, random;
	bool under_way; // as the owner sees it
	bool up;
};

static void world_check(struct world *world)
{
	struct link *link = world->link;
	enum link_state before = link_state(link);
	enum link_wish wish = link_wish(link, world->now);
	enum link_state state = link_state(link);
	uint64_t deadline = link_deadline(link);

	if (wish == LINK_WISH_DIAL)
		assert_false(world->under_way);
	if (wish == LINK_WISH_ABORT)
		assert_true(world->under_way);
	if (wish == LINK_WISH_NOTHING)
		assert_true(deadline > world->now);
	assert_true((deadline == CLOCK_NEVER) == (state == LINK_IDLE));
	assert_true((state == LINK_UP || state == LINK_REAUTH) == world->up);
	assert_true((before == LINK_UP || before == LINK_REAUTH) == world->up);
	if (state == LINK_WAIT) {
		assert_false(world->under_way);
		assert_true(deadline <= world->now + LINK_RETRY_AFTER_MAX_MS + LINK_CAP_MAX_MS);
	}
	if (state == LINK_PROVE)
		assert_true(world->under_way);
	if (state == LINK_UP) {
		assert_false(world->under_way);
		assert_true(deadline <= world->now + LINK_REKEY_MS);
	}
}

static uint64_t world_retry_after(struct world *world)
{
	return draw(&world->random, 8) ? 0 : draw(&world->random, 20000);
}

// A fact that an owner may tell at any time, sensible or not.
static void world_fact(struct world *world)
{
	struct link *link = world->link;
	uint64_t now = world->now;

	switch (draw(&world->random, 12)) {
	case 0:
		link_start(link, now);
		return;
	case 1:
		if (draw(&world->random, 20))
			return;
		link_stop(link);
		world->under_way = world->up = false;
		return;
	case 2:
		link_set_endpoint_count(link, (unsigned)draw(&world->random, 70));
		return;
	case 3:
	case 4:
		if (link_wish(link, now) == LINK_WISH_DIAL)
			world->under_way = true;
		link_dialling(link, now);
		return;
	case 5:
		link_hello_sent(link, now);
		return;
	case 6:
	case 7:
		if (world->under_way)
			world->up = true;
		world->under_way = false;
		link_ready(link, now);
		return;
	case 8:
		world->under_way = false;
		link_failed(link, world_retry_after(world), now);
		return;
	case 9:
		world->up = false;
		link_down(link, world_retry_after(world), now);
		return;
	case 10:
		link_reauth(link, draw(&world->random, 30000), now);
		return;
	case 11:
		link_network_changed(link, now);
		return;
	}
}

static void test_random_facts(void **unused)
{
	(void)unused;
	for (unsigned seed = 0; seed < SEEDS; seed++) {
		struct world world = {.random = seed, .now = START};
		_cleanup_(link_freep) struct link *link = link_new(1 + seed % 5, seed);

		world.link = link;
		for (unsigned step = 0; step < 300; step++) {
			world_fact(&world);
			world_check(&world);
			assert_true(link_endpoint(link) < LINK_ENDPOINTS_MAX);
			uint64_t deadline = link_deadline(link);
			if (!draw(&world.random, 3) && deadline != CLOCK_NEVER &&
			    deadline > world.now)
				world.now = deadline;
			else
				world.now += draw(&world.random, 1500);
			world_check(&world);
		}
	}
}

// The waits of a gateway that stays away: within the cap at every moment, and close to it in the end.
static void test_wait_caps(void **unused)
{
	(void)unused;
	for (unsigned seed = 0; seed < 1000; seed++) {
		_cleanup_(link_freep) struct link *link = link_new(1, seed);
		uint64_t now = START, longest = 0;

		link_start(link, now);
		while (now < START + 1800000) {
			now = dial_next(link, now);
			link_failed(link, 0, now);
			uint64_t cap = (now - START) / 4;
			cap = cap < LINK_CAP_MIN_MS ? LINK_CAP_MIN_MS : cap;
			cap = cap > LINK_CAP_MAX_MS ? LINK_CAP_MAX_MS : cap;
			uint64_t wait = link_deadline(link) - now;
			assert_in_range(wait, LINK_WAIT_MIN_MS, cap);
			longest = wait > longest ? wait : longest;
		}
		assert_true(longest > LINK_CAP_MAX_MS / 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outages),
		cmocka_unit_test(test_no_thundering_herd),
		cmocka_unit_test(test_random_facts),
		cmocka_unit_test(test_wait_caps),
	};

	return cmocka_run_group_tests_name("link_outage", tests, NULL, NULL);
}
