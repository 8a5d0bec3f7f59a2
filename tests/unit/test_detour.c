// SPDX-License-Identifier: Apache-2.0
// A network that blocks UDP and lets TCP through, in simulated time: when packets go in the channel, and when they come back.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tun/detour.h"
#include "tun/liveness.h"
#include "tun/packet.h"

#define KEEPALIVE_MS 15000u
#define MS_NS	     UINT64_C(1000000)
#define START_MS     UINT64_C(1000)

// The initiator, which speaks all the time, and what is between it and the gateway.
struct world {
	struct liveness liveness;
	struct liveness_facts facts;
	struct detour detour;
	uint64_t now, tick;
	uint64_t rtt_ms;
	bool udp, tcp;				    // get through
	uint64_t answer_at, udp_answer_at, pong_at; // UINT64_MAX: none is on its way
	bool answered;				    // what was asked over UDP
	unsigned entered, left, deaths, questions, pings;
};

static struct world world_of(uint64_t rtt_ms)
{
	return (struct world){
		.liveness = {.initiator = true, .keepalive_ms = KEEPALIVE_MS},
		.facts = {.heard_ms = START_MS, .rtt_ns = rtt_ms * MS_NS},
		.now = START_MS,
		.tick = START_MS,
		.rtt_ms = rtt_ms,
		.udp = true,
		.tcp = true,
		.answer_at = UINT64_MAX,
		.udp_answer_at = UINT64_MAX,
		.pong_at = UINT64_MAX,
	};
}

// A question, whose answer comes a round trip later; one that is on its way comes first.
static void send(const struct world *world, uint64_t *answer_at)
{
	if (*answer_at == UINT64_MAX || *answer_at < world->now)
		*answer_at = world->now + world->rtt_ms;
}

static void send_probe(struct world *world)
{
	bool arrives = world->detour.taken ? world->tcp : world->udp;
	if (arrives)
		send(world, &world->answer_at);
}

static void tick_liveness(struct world *world)
{
	world->facts.in_channel = world->detour.taken;
	switch (liveness_tick(&world->liveness, &world->facts, world->now)) {
	case LIVENESS_NOTHING:
		return;
	case LIVENESS_DOUBT:
		world->pings++;
		if (world->tcp)
			send(world, &world->pong_at);
		send_probe(world);
		return;
	case LIVENESS_PROBE:
		send_probe(world);
		return;
	case LIVENESS_BLOCKED:
		assert_false(world->detour.taken);
		detour_take(&world->detour, world->now);
		world->entered++;
		send_probe(world);
		return;
	case LIVENESS_DEAD:
		world->deaths++;
		return;
	}
}

static void tick_detour(struct world *world)
{
	switch (detour_tick(&world->detour, world->answered, world->now)) {
	case DETOUR_NOTHING:
		return;
	case DETOUR_ASK:
		world->questions++;
		if (world->udp)
			send(world, &world->udp_answer_at);
		return;
	case DETOUR_BACK:
		world->answered = false;
		world->left++;
		return;
	}
}

static void run(struct world *world, uint64_t for_ms)
{
	for (uint64_t end = world->now + for_ms; world->now < end; world->now++) {
		world->facts.spoke_ms = world->now;
		if (world->now == world->answer_at)
			world->facts.heard_ms = world->now;
		if (world->now == world->pong_at)
			world->liveness.channel_heard_ms = world->now;
		if (world->now == world->udp_answer_at)
			world->answered = true;
		if (world->now < world->tick)
			continue;
		tick_liveness(world);
		tick_detour(world);
		uint64_t detour = detour_deadline(&world->detour);
		world->tick = liveness_deadline(&world->liveness, world->now);
		world->tick = detour < world->tick ? detour : world->tick;
		assert_true(world->tick > world->now);
	}
}

static void all_is_well_without_it(void **state)
{
	(void)state;
	struct world world = world_of(20);
	run(&world, 600000);
	assert_int_equal(world.entered + world.deaths + world.pings, 0);
	assert_true(detour_deadline(&world.detour) == CLOCK_NEVER);
}

static void blocked_udp_is_found_out_within_3_s(void **state)
{
	(void)state;
	for (uint64_t phase = 0; phase < 1000; phase++) {
		struct world world = world_of(20);
		run(&world, 3000 + phase);
		world.udp = false;
		run(&world, 3000);
		assert_int_equal(world.entered, 1);
		assert_int_equal(world.deaths, 0);
	}
}

// Nothing was ever measured.
static void blocked_udp_is_found_out_at_the_start(void **state)
{
	(void)state;
	struct world world = world_of(100);
	world.facts.rtt_ns = world.facts.heard_ms = 0;
	world.udp = false;
	liveness_probing(&world.liveness, world.now);
	run(&world, BLOCKED_UNMEASURED_MS + 600);
	assert_int_equal(world.entered, 1);
	assert_int_equal(world.deaths, 0);
}

static void a_gateway_that_is_gone_is_still_dead(void **state)
{
	(void)state;
	for (uint64_t phase = 0; phase < 1000; phase++) {
		struct world world = world_of(20);
		run(&world, 3000 + phase);
		world.udp = world.tcp = false;
		run(&world, 3000);
		assert_int_equal(world.entered, 0);
		assert_int_equal(world.deaths, 1);
	}
}

static void what_the_channel_said_before_does_not_count(void **state)
{
	(void)state;
	struct world world = world_of(20);
	run(&world, 3000);
	world.udp = world.tcp = false;
	world.liveness.channel_heard_ms = world.now;
	run(&world, 3000);
	assert_int_equal(world.entered, 0);
	assert_int_equal(world.deaths, 1);
}

static void a_far_channel_is_given_its_time(void **state)
{
	(void)state;
	struct world world = world_of(600);
	run(&world, 3000);
	world.udp = false;
	run(&world, 2000);
	assert_int_equal(world.entered, 0);
	run(&world, 2000);
	assert_int_equal(world.entered, 1);
	assert_int_equal(world.deaths, 0);
}

static void in_the_channel_it_dies_later(void **state)
{
	(void)state;
	struct world world = world_of(20);
	world.udp = false;
	run(&world, 10000);
	assert_int_equal(world.entered, 1);
	world.tcp = false;
	run(&world, DEAD_IN_CHANNEL_MS - 100); // TCP may still repeat what was lost
	assert_int_equal(world.deaths, 0);
	run(&world, 2000);
	assert_int_equal(world.deaths, 1);
}

static void udp_is_asked_less_and_less_often(void **state)
{
	(void)state;
	struct world world = world_of(20);
	world.udp = false;
	run(&world, 10000);
	unsigned before = world.questions;
	assert_in_range(before, 2, 4);
	run(&world, 3600000);
	assert_in_range(world.questions - before, 55, 70);
	assert_int_equal(world.deaths + world.left, 0);
	// A tick has to be there for it, but not many: the answer is looked for, then it is quiet.
	assert_true(detour_deadline(&world.detour) > world.now + 1000);
}

static void the_first_answer_over_udp_brings_it_back(void **state)
{
	(void)state;
	struct world world = world_of(20);
	world.udp = false;
	run(&world, 600000);
	world.udp = true;
	run(&world, DETOUR_ASK_MAX_MS + 1000);
	assert_int_equal(world.left, 1);
	assert_false(world.detour.taken);
	run(&world, 600000);
	assert_int_equal(world.entered, 1);
	assert_int_equal(world.deaths, 0);
}

static void another_network_is_asked_at_once(void **state)
{
	(void)state;
	struct world world = world_of(20);
	world.udp = false;
	run(&world, 600000);
	world.udp = true;
	detour_moved(&world.detour, world.now);
	world.tick = world.now;
	run(&world, 300);
	assert_int_equal(world.left, 1);
}

// Whatever lets a probe through and then nothing does not move packets to and fro all the time.
static void who_comes_and_goes_is_asked_seldom(void **state)
{
	(void)state;
	struct world world = world_of(20);
	world.udp = false;
	run(&world, 5000);
	for (unsigned i = 0; i < 600; i++) {
		world.udp = world.detour.taken;
		run(&world, 1000);
	}
	assert_int_equal(world.deaths, 0);
	assert_in_range(world.left, 5, 25);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_is_well_without_it),
		cmocka_unit_test(blocked_udp_is_found_out_within_3_s),
		cmocka_unit_test(blocked_udp_is_found_out_at_the_start),
		cmocka_unit_test(a_gateway_that_is_gone_is_still_dead),
		cmocka_unit_test(what_the_channel_said_before_does_not_count),
		cmocka_unit_test(a_far_channel_is_given_its_time),
		cmocka_unit_test(in_the_channel_it_dies_later),
		cmocka_unit_test(udp_is_asked_less_and_less_often),
		cmocka_unit_test(the_first_answer_over_udp_brings_it_back),
		cmocka_unit_test(another_network_is_asked_at_once),
		cmocka_unit_test(who_comes_and_goes_is_asked_seldom),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
