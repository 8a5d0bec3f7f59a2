// SPDX-License-Identifier: Apache-2.0
// The replay window: the cases of WireGuard's own self-test (drivers/net/wireguard/selftest/counter.c of Linux), one number
// higher because counters begin at 1 here, with its limit for ours; and random walks beside a model that remembers everything.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tun/window.h"

#define LIMIT ((uint64_t)WINDOW_BITS)
#define SPAN  (1u << 17) // counters of the model

static bool take_counter(struct window *window, uint64_t counter)
{
	bool fresh = window_check(window, counter);
	if (fresh)
		window_set(window, counter);
	return fresh;
}

static void judges_single_counters(void **state)
{
	static const struct {
		uint64_t counter;
		bool fresh;
	} cases[] = {
		{1, true},
		{2, true},
		{2, false},
		{10, true},
		{9, true},
		{8, true},
		{8, false},
		{LIMIT + 1, true},
		{LIMIT, true},
		{LIMIT, false},
		{LIMIT - 1, true},
		{3, true},
		{3, false},
		{LIMIT + 17, true},
		{4, false},
		{LIMIT + 17, false},
		{LIMIT * 4 + 1, true},
		{LIMIT * 4 + 1 - (LIMIT - 1), true},
		{11, false},
		{LIMIT * 4 + 1 - LIMIT, false},
		{LIMIT * 4 + 1 - (LIMIT + 1), false},
		{LIMIT * 4 + 1 - (LIMIT - 2), true},
		{LIMIT * 4 + 2 - LIMIT, false},
		{1, false},
		{UINT64_MAX - 1, true},
		{UINT64_MAX - 1, false},
		{UINT64_MAX, true},
		{UINT64_MAX, false},
		{UINT64_MAX - LIMIT, false},
		{UINT64_MAX - LIMIT + 1, true},
		{UINT64_MAX - LIMIT + 1, false},
		{1, false},
	};
	struct window window = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (take_counter(&window, cases[i].counter) != cases[i].fresh)
			fail_msg("line %zu", i + 1);
}

static void never_takes_zero(void **state)
{
	struct window window = {0};

	(void)state;
	assert_false(window_check(&window, 0));
	assert_true(take_counter(&window, 1));
	assert_false(window_check(&window, 0));
	assert_true(take_counter(&window, LIMIT * 3));
	assert_false(window_check(&window, 0));
}

// Takes from, from + step ... to: all are fresh.
static void take_run(struct window *window, uint64_t from, uint64_t to)
{
	for (uint64_t c = from;; c = from < to ? c + 1 : c - 1) {
		if (!take_counter(window, c))
			fail_msg("counter %llu", (unsigned long long)c);
		if (c == to)
			return;
	}
}

static void judges_runs(void **state)
{
	struct window window;

	(void)state;
	memset(&window, 0, sizeof(window));
	take_run(&window, 2, LIMIT);
	assert_true(take_counter(&window, 1));
	assert_false(take_counter(&window, 1));

	memset(&window, 0, sizeof(window));
	take_run(&window, 3, LIMIT + 1);
	assert_true(take_counter(&window, 2));
	assert_false(take_counter(&window, 1));

	memset(&window, 0, sizeof(window));
	take_run(&window, LIMIT, 1);

	memset(&window, 0, sizeof(window));
	take_run(&window, LIMIT + 1, 2);
	assert_false(take_counter(&window, 1));

	memset(&window, 0, sizeof(window));
	take_run(&window, LIMIT, 2);
	assert_true(take_counter(&window, LIMIT + 1));
	assert_false(take_counter(&window, 1));

	memset(&window, 0, sizeof(window));
	take_run(&window, LIMIT, 2);
	assert_true(take_counter(&window, 1));
	assert_true(take_counter(&window, LIMIT + 1));
}

static void checking_changes_nothing(void **state)
{
	struct window window = {0};
	struct window before;

	(void)state;
	take_run(&window, 1, 100);
	before = window;
	for (uint64_t c = 0; c < LIMIT * 3; c += 7)
		window_check(&window, c);
	assert_memory_equal(&window, &before, sizeof(window));
}

// splitmix64 (Steele, Lea, Flood 2014): the same walks on every machine.
static uint64_t random_next(uint64_t *seed)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

struct model {
	uint64_t base; // counters stand for base + position
	uint64_t highest;
	bool seen[SPAN];
};

static bool model_take(struct model *model, uint64_t counter)
{
	if (counter == 0 || model->seen[counter - model->base])
		return false;
	if (counter <= model->highest && model->highest - counter >= LIMIT)
		return false;
	model->seen[counter - model->base] = true;
	if (counter > model->highest)
		model->highest = counter;
	return true;
}

// Mostly near the front, sometimes around the window's far edge, now and then a leap.
static uint64_t choose_counter(const struct model *model, uint64_t *seed)
{
	uint64_t dice = random_next(seed) % 1000;
	uint64_t at = model->highest - model->base;
	uint64_t back = random_next(seed) % 200;
	if (dice < 400)
		at += 1;
	else if (dice < 800)
		at = at > back ? at - back : 0;
	else if (dice < 990)
		at = at + 100 > LIMIT + back ? at + 100 - LIMIT - back : back;
	else if (dice < 998)
		at += random_next(seed) % 500;
	else
		at += random_next(seed) % (LIMIT + LIMIT / 4);
	return model->base + (at < SPAN ? at : SPAN - 1);
}

static void walk(uint64_t base, uint64_t seed)
{
	static struct model model;
	struct window window = {0};
	memset(&model, 0, sizeof(model));
	model.base = base;
	if (base) {
		model_take(&model, base);
		take_counter(&window, base);
	}
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t counter = choose_counter(&model, &seed);
		bool expected = model_take(&model, counter);
		if (take_counter(&window, counter) != expected)
			fail_msg("base %llx, step %u, counter %llx, expected %d",
				 (unsigned long long)base, i, (unsigned long long)counter,
				 expected);
	}
	assert_true(window.highest == model.highest);
}

static void agrees_with_a_model(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		walk(0, seed);
		walk((UINT64_C(1) << 32) - SPAN / 2, seed);
		walk(UINT64_MAX - SPAN + 1, seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judges_single_counters),
		cmocka_unit_test(never_takes_zero),
		cmocka_unit_test(judges_runs),
		cmocka_unit_test(checking_changes_nothing),
		cmocka_unit_test(agrees_with_a_model),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
