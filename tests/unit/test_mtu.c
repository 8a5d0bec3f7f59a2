// SPDX-License-Identifier: Apache-2.0
// Paths of all sizes in simulated time, with loss, changing at any moment.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tun/mtu.h"
#include "unit/packet_fixture.h"

#define CEILING 1420u

struct world {
	struct mtu mtu;
	struct mtu_facts facts;
	uint64_t now, random;
	unsigned carries; // bytes; 0: nothing at all
	unsigned loss;	  // percent, of probes, large and small
	unsigned rtt_ms;
	bool large; // large packets are sent all the time
	uint64_t answer_at, small_at, small_sent;
	unsigned answer, probes;
};

static struct world world_of(unsigned ceiling, unsigned carries, unsigned rtt_ms)
{
	struct world world = {
		.now = 1000,
		.random = carries,
		.carries = carries,
		.rtt_ms = rtt_ms,
		.large = true,
	};
	world.facts.rtt_ns = rtt_ms * UINT64_C(1000000);
	mtu_start(&world.mtu, ceiling, world.now);
	return world;
}

static bool lost(struct world *world)
{
	return packet_random(&world->random) % 100 < world->loss;
}

static void run(struct world *world, uint64_t for_ms)
{
	uint64_t until = world->now + for_ms;
	for (; world->now < until; world->now++) {
		if (world->answer_at == world->now && world->answer) {
			mtu_answered(&world->mtu, world->answer, world->now);
			world->answer = 0;
		}
		if (world->small_at == world->now)
			world->facts.small_ms = world->small_sent;
		if (world->large)
			world->facts.large_ms = world->now;
		if (world->now < mtu_deadline(&world->mtu))
			continue;
		unsigned size = mtu_tick(&world->mtu, &world->facts, world->now);
		assert_true(mtu_deadline(&world->mtu) > world->now || !size);
		if (!size)
			continue;
		world->probes++;
		assert_true(size >= MTU_LEAST && size <= world->mtu.ceiling);
		// The small probe beside it.
		if (world->carries && !lost(world)) {
			world->small_sent = world->now;
			world->small_at = world->now + world->rtt_ms;
		}
		if (size <= world->carries && !lost(world)) {
			world->answer = size;
			world->answer_at = world->now + world->rtt_ms;
		}
	}
}

static void a_usual_path_is_left_as_agreed(void **state)
{
	char text[MTU_TEXT_MAX];
	struct world world = world_of(CEILING, CEILING, 20);

	(void)state;
	world.large = false;
	run(&world, 3600000);
	assert_int_equal(world.mtu.current, CEILING);
	assert_int_equal(world.probes, 1);
	assert_string_equal(mtu_reason(&world.mtu, text), "as agreed");
	// It is confirmed while large packets go.
	world.large = true;
	run(&world, 10000);
	assert_in_range(world.probes, 5, 12);
	assert_int_equal(world.mtu.current, CEILING);
}

static void every_size_is_found(void **state)
{
	(void)state;
	for (unsigned carries = 300; carries <= 9100; carries += 7) {
		struct world world = world_of(carries % 2 ? 8920 : CEILING, carries, 30);
		unsigned most = carries < world.mtu.ceiling ? carries : world.mtu.ceiling;
		// Never more than the path carries for longer than it takes to notice.
		run(&world, 3000);
		assert_true(world.mtu.current <= carries);
		run(&world, 20000);
		assert_true(world.mtu.current <= most && world.mtu.current + MTU_GRAIN > most);
		assert_true(world.probes < 120);
	}
}

static void a_black_hole_is_noticed(void **state)
{
	static const unsigned holes[] = {1240, 540};
	char text[MTU_TEXT_MAX];

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct world world = world_of(CEILING, CEILING, 10);
		run(&world, 60000);
		world.carries = holes[i];
		run(&world, 3500);
		assert_true(world.mtu.current <= holes[i]);
		run(&world, 10000);
		assert_in_range(world.mtu.current, holes[i] - MTU_GRAIN, holes[i]);
		assert_non_null(strstr(mtu_reason(&world.mtu, text), "found by probing"));
		// It is gone again: that is found after a while, or at once where the path is known to be another.
		world.carries = CEILING;
		run(&world, 30000);
		assert_true(world.mtu.current < CEILING);
		if (i == 0)
			mtu_moved(&world.mtu, world.now);
		run(&world, i == 0 ? 1000 : 60000);
		assert_int_equal(world.mtu.current, CEILING);
	}
}

static void more_is_tried_less_and_less_often(void **state)
{
	struct world world = world_of(CEILING, 1300, 10);

	(void)state;
	run(&world, 300000);
	unsigned before = world.probes;
	run(&world, 3600000);
	// Six searches in the hour, and a question every second whether what was found still arrives.
	assert_in_range(world.probes - before, 3600, 4000);
	assert_in_range(world.mtu.current, 1300 - MTU_GRAIN, 1300);
}

static void loss_is_no_black_hole(void **state)
{
	(void)state;
	for (unsigned loss = 0; loss <= 30; loss += 5) {
		struct world world = world_of(CEILING, CEILING, 30);
		world.loss = loss;
		for (unsigned i = 0; i < 4 * 3600; i++) {
			run(&world, 1000);
			assert_int_equal(world.mtu.current, CEILING);
		}
	}
}

static void a_black_hole_is_found_beside_loss(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct world world = world_of(CEILING, CEILING, 30);
		world.random = round + 1;
		run(&world, 5000);
		world.loss = 20;
		world.carries = 1300;
		run(&world, 8000);
		assert_int_not_equal(world.mtu.current, CEILING);
		run(&world, 60000);
		assert_true(world.mtu.current <= 1300);
	}
}

// It takes longer the farther the other end is.
static void a_black_hole_is_found_far_away(void **state)
{
	static const unsigned rtt_ms[] = {90, 300, 700, 1500, 3000};

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		struct world world = world_of(CEILING, CEILING, rtt_ms[i]);
		run(&world, 30000);
		assert_int_equal(world.mtu.current, CEILING);
		world.carries = 1300;
		run(&world, 4000 + 18 * rtt_ms[i]);
		assert_true(world.mtu.current <= 1300);
	}
}

static void silence_says_nothing(void **state)
{
	struct world world = world_of(CEILING, CEILING, 30);

	(void)state;
	run(&world, 5000);
	world.carries = 0;
	unsigned before = world.probes;
	run(&world, 30000);
	assert_int_equal(world.mtu.current, CEILING);
	assert_in_range(world.probes - before, 10,
			20); // a gateway may have thousands of silent peers
	world.carries = CEILING;
	run(&world, 2000);
	assert_int_equal(world.mtu.current, CEILING);
	assert_int_equal(world.mtu.state, MTU_DONE);
}

// What was lost while nothing arrived is not held against a size when all arrives again; nor does an outage that comes and goes add
// up to a black hole.
static void outages_say_nothing(void **state)
{
	struct world world = world_of(CEILING, CEILING, 30);

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		world.carries = i % 2 ? 0 : CEILING;
		run(&world, 100 + packet_random(&world.random) % 2000);
		assert_int_equal(world.mtu.current, CEILING);
	}
}

static void any_change_at_any_time(void **state)
{
	uint64_t random = 5;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct world world = world_of(CEILING, 300 + packet_random(&random) % 1200, 20);
		world.loss = packet_random(&random) % 3;
		for (unsigned change = 0; change < 10; change++) {
			world.carries = 300 + packet_random(&random) % 1200;
			run(&world, 1 + packet_random(&random) % 5000);
		}
		world.loss = 0;
		run(&world, 30000);
		assert_true(world.mtu.current <= world.carries);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_usual_path_is_left_as_agreed),
		cmocka_unit_test(every_size_is_found),
		cmocka_unit_test(a_black_hole_is_noticed),
		cmocka_unit_test(more_is_tried_less_and_less_often),
		cmocka_unit_test(loss_is_no_black_hole),
		cmocka_unit_test(a_black_hole_is_found_beside_loss),
		cmocka_unit_test(a_black_hole_is_found_far_away),
		cmocka_unit_test(silence_says_nothing),
		cmocka_unit_test(outages_say_nothing),
		cmocka_unit_test(any_change_at_any_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
