// SPDX-License-Identifier: Apache-2.0
// A set of slots that some threads fill and one empties.

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tun/stir.h"

#define ROUNDS	20000u
#define THREADS 3u

struct taken {
	unsigned counts[STIR_SLOTS];
	unsigned total;
};

static struct stir *stir;
static struct taken *taken;

static int set_up(void **state)
{
	(void)state;
	stir = calloc(1, sizeof(*stir));
	taken = calloc(1, sizeof(*taken));
	return stir && taken ? stir_init(stir) : -1;
}

static int tear_down(void **state)
{
	(void)state;
	stir_done(stir);
	free(stir);
	free(taken);
	return 0;
}

static void on_taken(unsigned slot, void *data)
{
	struct taken *to = data;
	assert_true(slot < STIR_SLOTS);
	to->counts[slot]++;
	to->total++;
}

static bool readable(int wait_ms)
{
	struct pollfd fd = {.fd = stir->fd, .events = POLLIN};
	return poll(&fd, 1, wait_ms) == 1;
}

static void each_is_taken_once(void **state)
{
	static const unsigned slots[] = {0, 63, 64, 40000, STIR_SLOTS - 1};

	(void)state;
	assert_false(readable(0));
	for (unsigned twice = 0; twice < 2; twice++)
		for (unsigned i = 0; i < 5; i++)
			stir_set(stir, slots[i]);
	assert_true(readable(0));
	stir_take(stir, 100, on_taken, taken);
	assert_int_equal(taken->total, 5);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(taken->counts[slots[i]], 1);
	assert_false(readable(0));
	stir_take(stir, 100, on_taken, taken);
	assert_int_equal(taken->total, 5);
}

static void what_is_left_is_taken_in_turn(void **state)
{
	(void)state;
	for (unsigned slot = 0; slot < STIR_SLOTS; slot += 64)
		stir_set(stir, slot);
	for (unsigned takes = 1; readable(0); takes++) {
		// The one at the beginning comes again each time, and does not keep the others out.
		stir_set(stir, 0);
		stir_take(stir, 100, on_taken, taken);
		assert_true(takes < 100);
	}
	for (unsigned slot = 0; slot < STIR_SLOTS; slot += 64)
		assert_true(taken->counts[slot] > 0);
	assert_int_equal(taken->counts[64], 1);
}

static void *fill(void *data)
{
	unsigned random = *(unsigned *)data;
	for (unsigned i = 0; i < ROUNDS; i++) {
		random = random * 1664525u + 1013904223u;
		stir_set(stir, random >> 16 & (STIR_SLOTS - 1));
	}
	return NULL;
}

static void nothing_is_missed(void **state)
{
	pthread_t threads[THREADS];
	unsigned seeds[THREADS];
	bool expected[STIR_SLOTS] = {0};

	(void)state;
	for (unsigned i = 0; i < THREADS; i++) {
		unsigned random = seeds[i] = i;
		for (unsigned j = 0; j < ROUNDS; j++) {
			random = random * 1664525u + 1013904223u;
			expected[random >> 16 & (STIR_SLOTS - 1)] = true;
		}
		assert_int_equal(pthread_create(&threads[i], NULL, fill, &seeds[i]), 0);
	}
	for (unsigned i = 0; i < 100; i++)
		stir_take(stir, 16, on_taken, taken);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	while (readable(0))
		stir_take(stir, 16, on_taken, taken);
	for (unsigned slot = 0; slot < STIR_SLOTS; slot++)
		assert_int_equal(taken->counts[slot] > 0, expected[slot]);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(each_is_taken_once),
		CASE(what_is_left_is_taken_in_turn),
		CASE(nothing_is_missed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
