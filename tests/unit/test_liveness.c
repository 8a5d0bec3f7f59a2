// SPDX-License-Identifier: Apache-2.0
// Who is alive, in simulated time: ticks come when the deadline says, late by up to some milliseconds.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tun/liveness.h"
#include "tun/packet.h"

#define KEEPALIVE_MS 15000u
#define MS_NS	     UINT64_C(1000000)
#define FOREVER	     UINT64_C(600000)

// A path that carries probes and answers for as long as it works.
struct world {
	struct liveness liveness;
	struct liveness_facts facts;
	uint64_t now;
	uint64_t rtt_ms;
	uint64_t broken_at;    // nothing arrives from then on
	uint64_t answer_at;    // of the probe on its way; UINT64_MAX: none
	uint64_t speaks_every; // inner packets; 0: silent
	uint64_t asks_every;   // probes of the far end; 0: it does not ask
	unsigned ticks;
	unsigned late_ms; // of every tick
};

static struct world world_of(bool initiator, uint64_t rtt_ms, uint64_t speaks_every)
{
	return (struct world){
		.liveness = {.initiator = initiator,
			     .keepalive_ms = KEEPALIVE_MS,
			     .channel_heard_ms = 1000},
		.facts = {.heard_ms = 1000, .rtt_ns = rtt_ms * MS_NS},
		.now = 1000,
		.rtt_ms = rtt_ms,
		.broken_at = UINT64_MAX,
		.answer_at = UINT64_MAX,
		.speaks_every = speaks_every,
	};
}

// Lets time pass until `until`; returns when the peer was taken for dead, 0: it was not.
static uint64_t run(struct world *world, uint64_t until)
{
	uint64_t tick = world->now;
	for (; world->now < until; world->now++) {
		if (world->answer_at == world->now && world->now < world->broken_at)
			world->facts.heard_ms = world->now;
		if (world->asks_every && world->now % world->asks_every == 0 &&
		    world->now < world->broken_at)
			world->facts.heard_ms = world->now;
		if (world->speaks_every && world->now % world->speaks_every == 0) {
			world->facts.spoke_ms = world->now;
			if (liveness_rests(&world->liveness))
				tick = world->now;
			// What is sent is acknowledged, as TCP does.
			if (world->now < world->broken_at && world->rtt_ms < world->speaks_every)
				world->facts.heard_ms = world->now;
		}
		if (world->now < tick)
			continue;
		world->ticks++;
		switch (liveness_tick(&world->liveness, &world->facts, world->now)) {
		case LIVENESS_NOTHING:
			break;
		case LIVENESS_BLOCKED: // tests/unit/test_detour.c
			fail();
			break;
		case LIVENESS_DOUBT:
		case LIVENESS_PROBE:
			if (world->answer_at == UINT64_MAX || world->answer_at < world->now)
				world->answer_at = world->now + world->rtt_ms;
			break;
		case LIVENESS_DEAD:
			return world->now;
		}
		tick = liveness_deadline(&world->liveness, world->now) + world->late_ms;
		assert_true(tick > world->now);
	}
	return 0;
}

static void a_dead_gateway_is_noticed_within_3_s_of_traffic(void **state)
{
	(void)state;
	for (uint64_t phase = 0; phase < 1000; phase++) {
		struct world world = world_of(true, 1, 20);
		world.late_ms = (unsigned)(phase % 7);
		world.broken_at = 5000 + phase;
		assert_int_equal(run(&world, world.broken_at), 0);
		uint64_t dead = run(&world, world.broken_at + 10000);
		assert_true(dead > world.broken_at && dead <= world.broken_at + 3000);
	}
}

static void an_idle_gateway_is_asked_and_lives(void **state)
{
	(void)state;
	struct world world = world_of(true, 30, 0);
	assert_int_equal(run(&world, FOREVER), 0);
	world.broken_at = world.now;
	uint64_t dead = run(&world, world.now + 60000);
	assert_true(dead != 0 && dead <= world.broken_at + KEEPALIVE_MS + 3000);
}

static void a_far_gateway_is_given_its_time(void **state)
{
	(void)state;
	for (uint64_t rtt_ms = 600; rtt_ms <= 2000; rtt_ms += 200) {
		struct world world = world_of(true, rtt_ms, 50);
		assert_int_equal(run(&world, 120000), 0);
	}
	// Also before its distance is known.
	struct world world = world_of(true, 2000, 50);
	world.facts.rtt_ns = 0;
	assert_int_equal(run(&world, 60000), 0);
}

static void it_is_said_once_and_counts_anew(void **state)
{
	(void)state;
	struct world world = world_of(true, 1, 20);
	world.broken_at = 0;
	uint64_t first = run(&world, 20000);
	assert_true(first != 0);
	world.now++;
	uint64_t second = run(&world, 40000);
	assert_true(second >= first + DEAD_AFTER_MS);
}

static void a_responder_lets_go_after_four_periods(void **state)
{
	(void)state;
	struct world world = world_of(false, 20, 0);
	world.asks_every = KEEPALIVE_MS;
	assert_int_equal(run(&world, FOREVER), 0);
	world.broken_at = world.now;
	uint64_t heard = world.facts.heard_ms;
	uint64_t dead = run(&world, world.now + 200000);
	assert_true(dead > heard + LIVENESS_PERIODS * KEEPALIVE_MS);
	assert_true(dead <= heard + LIVENESS_PERIODS * KEEPALIVE_MS + 6000);
}

// Thousands of them cost a gateway next to nothing, and a laptop sleeps.
static void a_peer_at_rest_is_left_alone(void **state)
{
	(void)state;
	struct world gateway = world_of(false, 20, 0);
	gateway.asks_every = KEEPALIVE_MS;
	assert_int_equal(run(&gateway, 10000), 0);
	uint64_t asked = gateway.answer_at;
	assert_int_equal(run(&gateway, 1000 + FOREVER), 0);
	assert_true(gateway.ticks <= FOREVER / (LIVENESS_PERIODS - 1) / KEEPALIVE_MS);
	assert_int_equal(gateway.answer_at, asked); // it asks for nothing

	struct world laptop = world_of(true, 20, 0);
	assert_int_equal(run(&laptop, 1000 + FOREVER), 0);
	// A probe per period, and a look at what became of it.
	assert_in_range(laptop.ticks, FOREVER / KEEPALIVE_MS - 1, 3 * (FOREVER / KEEPALIVE_MS + 1));
}

static void a_path_that_was_never_measured_is(void **state)
{
	(void)state;
	struct world world = world_of(false, 20, 0);
	world.asks_every = KEEPALIVE_MS;
	world.facts.rtt_ns = 0;
	assert_int_equal(run(&world, 2 * KEEPALIVE_MS), 0);
	assert_true(world.answer_at != UINT64_MAX);
	// Where the peer never was, there is none.
	world = world_of(false, 20, 0);
	world.facts.rtt_ns = world.facts.heard_ms = 0;
	assert_int_equal(run(&world, 2 * KEEPALIVE_MS), 0);
	assert_int_equal(world.answer_at, UINT64_MAX);
	assert_true(world.ticks < 5);
}

static void a_peer_that_rested_is_looked_after_again(void **state)
{
	(void)state;
	for (uint64_t phase = 0; phase < 1000; phase += 7) {
		struct world world = world_of(true, 1, 0);
		assert_int_equal(run(&world, 40000 + phase), 0);
		assert_true(liveness_rests(&world.liveness));
		world.speaks_every = 20;
		world.broken_at = world.now;
		uint64_t dead = run(&world, world.now + 10000);
		assert_true(dead != 0 && dead <= world.broken_at + 3000);
	}
	struct world gateway = world_of(false, 20, 0);
	gateway.asks_every = KEEPALIVE_MS;
	assert_int_equal(run(&gateway, 60000), 0);
	gateway.speaks_every = 50;
	assert_int_equal(run(&gateway, 60500), 0);
	assert_false(liveness_rests(&gateway.liveness));
	assert_true(gateway.answer_at != UINT64_MAX);
}

static void a_word_on_the_channel_is_a_sign_of_life(void **state)
{
	(void)state;
	struct world world = world_of(false, 20, 0);
	world.broken_at = 0;
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(run(&world, world.now + KEEPALIVE_MS), 0);
		world.liveness.channel_heard_ms = world.now;
	}
	assert_true(run(&world, world.now + 100000) != 0);
}

// The peer streams, is acknowledged, and its packets stop coming: it sends to where a translation used to lead, and the end
// that could show it the way has nothing to say.
static void a_stream_that_stops_is_asked_after_once(void **state)
{
	(void)state;
	struct world world = world_of(true, 20, 0);
	for (unsigned i = 0; i < 5000; i++) {
		world.facts.received_ms = world.facts.heard_ms = world.now;
		assert_int_equal(run(&world, world.now + 1), 0);
	}
	uint64_t stopped = world.now;
	assert_true(world.liveness.probed_ms < stopped);
	assert_int_equal(run(&world, stopped + SILENCE_MS + 600), 0);
	uint64_t probed = world.liveness.probed_ms;
	assert_true(probed >= stopped + SILENCE_MS - 1);
	assert_int_equal(run(&world, probed + KEEPALIVE_MS - 100), 0);
	assert_int_equal(world.liveness.probed_ms, probed);
}

// Each lane's translation wants to be used now and then, whatever the others carry.
static void a_busy_peer_is_asked_once_in_a_period(void **state)
{
	(void)state;
	struct world world = world_of(true, 20, 0);
	uint64_t probed = 0;
	unsigned probes = 0;
	for (uint64_t end = world.now + 10 * KEEPALIVE_MS; world.now < end;) {
		world.facts.received_ms = world.facts.spoke_ms = world.facts.heard_ms = world.now;
		assert_int_equal(run(&world, world.now + 1), 0);
		probes += world.liveness.probed_ms != probed;
		probed = world.liveness.probed_ms;
	}
	assert_in_range(probes, 9, 11);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dead_gateway_is_noticed_within_3_s_of_traffic),
		cmocka_unit_test(an_idle_gateway_is_asked_and_lives),
		cmocka_unit_test(a_far_gateway_is_given_its_time),
		cmocka_unit_test(it_is_said_once_and_counts_anew),
		cmocka_unit_test(a_responder_lets_go_after_four_periods),
		cmocka_unit_test(a_peer_at_rest_is_left_alone),
		cmocka_unit_test(a_path_that_was_never_measured_is),
		cmocka_unit_test(a_peer_that_rested_is_looked_after_again),
		cmocka_unit_test(a_word_on_the_channel_is_a_sign_of_life),
		cmocka_unit_test(a_stream_that_stops_is_asked_after_once),
		cmocka_unit_test(a_busy_peer_is_asked_once_in_a_period),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
