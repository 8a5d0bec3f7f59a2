// SPDX-License-Identifier: Apache-2.0
// Sets beside plain bitmaps.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tun/ruleset.h"

#define NUMBERS 20000u
#define WORDS	RULESET_WORDS(NUMBERS)
#define DIMS	3u

static uint64_t random_next(uint64_t *seed)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	return z ^ (z >> 31);
}

// From none to all, of a part of the range.
static void fill(uint64_t *seed, uint64_t bits[WORDS])
{
	static const unsigned counts[] = {0, 1, 5, 100, 3000, 40000};
	unsigned count = counts[random_next(seed) % 6];
	uint32_t range = random_next(seed) % 2 ? NUMBERS : 70;
	memset(bits, 0, WORDS * 8);
	for (unsigned i = 0; i < count; i++)
		ruleset_bit(bits, (uint32_t)(random_next(seed) % range));
}

static void what_went_in_comes_out(void **state)
{
	uint64_t seed = 1;
	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		uint64_t bits[WORDS], out[WORDS] = {0};
		_cleanup_(ruleset_freep) struct ruleset *set = NULL;
		fill(&seed, bits);
		assert_int_equal(ruleset_new(bits, WORDS, &set), 0);
		ruleset_spread(set, out);
		assert_memory_equal(bits, out, sizeof(bits));
	}
}

static void empty_is_none(void **state)
{
	uint64_t bits[WORDS] = {0};
	struct ruleset *set;
	struct ruleset_any any[2] = {0};
	(void)state;
	assert_int_equal(ruleset_new(bits, WORDS, &set), 0);
	assert_null(set);
	assert_int_equal(ruleset_first(any, 2), RULESET_NONE);
	ruleset_bit(bits, NUMBERS - 1);
	assert_int_equal(ruleset_new(bits, WORDS, &set), 0);
	ruleset_any_add(&any[0], set);
	assert_int_equal(ruleset_first(any, 2), RULESET_NONE);
	assert_int_equal(ruleset_first(any, 1), NUMBERS - 1);
	ruleset_free(set);
}

static void the_first_in_common_is_found(void **state)
{
	uint64_t seed = 2;
	unsigned found = 0;
	(void)state;
	for (unsigned round = 0; round < 1000; round++) {
		static uint64_t bits[WORDS], in[DIMS][WORDS];
		struct ruleset *sets[DIMS * RULESET_ANY_MAX] = {NULL};
		struct ruleset_any any[DIMS] = {0};
		uint32_t expected = RULESET_NONE;
		memset(in, 0, sizeof(in));
		for (unsigned i = 0; i < DIMS * RULESET_ANY_MAX; i++) {
			fill(&seed, bits);
			assert_int_equal(ruleset_new(bits, WORDS, &sets[i]), 0);
			ruleset_any_add(&any[i / RULESET_ANY_MAX], sets[i]);
			for (size_t w = 0; w < WORDS; w++)
				in[i / RULESET_ANY_MAX][w] |= bits[w];
		}
		for (uint32_t n = 0; expected == RULESET_NONE && n < NUMBERS; n++)
			if ((in[0][n / 64] & in[1][n / 64] & in[2][n / 64]) >> n % 64 & 1)
				expected = n;
		assert_int_equal(ruleset_first(any, DIMS), expected);
		found += expected != RULESET_NONE;
		for (unsigned i = 0; i < DIMS * RULESET_ANY_MAX; i++)
			ruleset_free(sets[i]);
	}
	assert_in_range(found, 100, 990);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_went_in_comes_out),
		cmocka_unit_test(empty_is_none),
		cmocka_unit_test(the_first_in_common_is_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
