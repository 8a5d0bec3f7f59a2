// SPDX-License-Identifier: Apache-2.0
// Every length of both families nested in each other, and changes beside a list; tests/unit/test_route_change.c has readers.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tun/lpm.h"

static void nothing_is_empty(void **state)
{
	struct addr addr = {.family = AF_INET};
	struct prefix prefix = {.addr = addr};
	(void)state;
	assert_null(lpm_find(NULL, &addr));
	assert_null(lpm_exact(NULL, &prefix));
	_cleanup_(lpm_freep) struct lpm *lpm = lpm_new(0);
	assert_null(lpm_find(lpm, &addr));
}

static struct prefix nested(uint8_t family, unsigned length)
{
	struct prefix prefix = {.addr.family = family, .length = (uint8_t)length};
	for (unsigned i = 0; i < 16; i++)
		prefix.addr.bytes[i] = family == AF_INET && i >= 4 ? 0 : 0xa5;
	return prefix_masked(&prefix);
}

static void every_length_has_its_own(void **state)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	static int values[2][129];
	_cleanup_(lpm_freep) struct lpm *lpm = lpm_new(33 + 129);
	(void)state;
	for (unsigned f = 0; f < 2; f++) {
		unsigned bits = f == 0 ? 32 : 128;
		// In no order.
		for (unsigned i = 0; i <= bits; i++) {
			unsigned length = i * 7 % (bits + 1);
			struct prefix prefix = nested(families[f], length);
			assert_ptr_equal(lpm_add(lpm, &prefix, &values[f][length]),
					 &values[f][length]);
		}
	}
	for (unsigned f = 0; f < 2; f++) {
		unsigned bits = f == 0 ? 32 : 128;
		for (unsigned length = 0; length <= bits; length++) {
			struct prefix prefix = nested(families[f], length);
			// The first bit behind the prefix is another one.
			struct addr addr = nested(families[f], bits).addr;
			if (length < bits)
				addr.bytes[length / 8] ^= (uint8_t)(0x80 >> length % 8);
			assert_ptr_equal(lpm_exact(lpm, &prefix), &values[f][length]);
			assert_ptr_equal(lpm_find(lpm, &addr), &values[f][length]);
		}
	}
}

static void the_first_value_stays(void **state)
{
	int one, two;
	_cleanup_(lpm_freep) struct lpm *lpm = lpm_new(1);
	struct prefix prefix = nested(AF_INET, 16);
	(void)state;
	assert_ptr_equal(lpm_add(lpm, &prefix, &one), &one);
	assert_ptr_equal(lpm_add(lpm, &prefix, &two), &one);
	assert_ptr_equal(lpm_exact(lpm, &prefix), &one);
}

static void finds_what_is_around(void **state)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	static int values[2][129];
	_cleanup_(lpm_freep) struct lpm *lpm = lpm_new(64);
	struct prefix prefix = nested(AF_INET, 16), beside = nested(AF_INET, 24);
	(void)state;
	assert_null(lpm_around(NULL, &prefix));
	assert_null(lpm_around(lpm, &prefix));
	// Every eighth length.
	for (unsigned f = 0; f < 2; f++)
		for (unsigned length = 8; length <= (f == 0 ? 32u : 128u); length += 8) {
			prefix = nested(families[f], length);
			lpm_add(lpm, &prefix, &values[f][length]);
		}
	for (unsigned f = 0; f < 2; f++)
		for (unsigned length = 0; length <= (f == 0 ? 32u : 128u); length++) {
			prefix = nested(families[f], length);
			void *around = lpm_around(lpm, &prefix);
			if (length < 8)
				assert_null(around);
			else
				assert_ptr_equal(around, &values[f][length / 8 * 8]);
		}
	beside.addr.bytes[2] ^= 1;
	assert_ptr_equal(lpm_around(lpm, &beside), &values[0][16]);
}

// --- beside a list

#define SEEDS	 40u
#define CHANGES	 500u
#define LIST_MAX 4096u

struct list {
	struct prefix prefixes[LIST_MAX];
	void *values[LIST_MAX];
	size_t count;
};

static uint64_t random_next(uint64_t *seed)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

// Some lengths often, all of them now and then; few distinct bytes, so that prefixes nest and meet.
static struct prefix random_prefix(uint64_t *seed)
{
	static const uint8_t often[2][4] = {{32, 32, 24, 8}, {128, 128, 64, 48}};
	size_t six = random_next(seed) & 1, bits = six ? 128 : 32;
	struct prefix prefix = {.addr.family = six ? AF_INET6 : AF_INET};
	for (size_t i = 0; i < bits / 8; i++)
		prefix.addr.bytes[i] = (uint8_t)(random_next(seed) % 3 * 0x81);
	prefix.length = often[six][random_next(seed) % 4];
	if (random_next(seed) % 8 == 0)
		prefix.length = (uint8_t)(random_next(seed) % (bits + 1));
	return prefix_masked(&prefix);
}

static size_t list_position(const struct list *list, const struct prefix *prefix)
{
	size_t i = 0;
	while (i < list->count && !prefix_equal(&list->prefixes[i], prefix))
		i++;
	return i;
}

static void list_set(struct list *list, const struct prefix *prefix, void *value)
{
	size_t at = list_position(list, prefix);
	if (at == list->count && value)
		list->prefixes[list->count++] = *prefix;
	list->values[at] = value;
	if (value || at == list->count)
		return;
	list->values[at] = list->values[--list->count];
	list->prefixes[at] = list->prefixes[list->count];
}

static void *list_around(const struct list *list, const struct prefix *prefix)
{
	void *best = NULL;
	int length = -1;
	for (size_t i = 0; i < list->count; i++) {
		if (list->prefixes[i].length <= length ||
		    !prefix_covers(&list->prefixes[i], prefix))
			continue;
		best = list->values[i];
		length = list->prefixes[i].length;
	}
	return best;
}

static void compare(const struct lpm *lpm, const struct list *list, uint64_t *seed)
{
	struct prefix prefix = random_prefix(seed);
	size_t at = list_position(list, &prefix);
	void *value = at < list->count ? list->values[at] : NULL;
	assert_ptr_equal(lpm_exact(lpm, &prefix), value);
	assert_ptr_equal(lpm_own(lpm, &prefix), value);
	assert_ptr_equal(lpm_around(lpm, &prefix), list_around(list, &prefix));
	struct prefix alone = prefix_of(&prefix.addr);
	assert_ptr_equal(lpm_find(lpm, &prefix.addr), list_around(list, &alone));
}

static void change(struct lpm *lpm, struct list *list, const struct prefix *prefix, void *value)
{
	lpm_set(lpm, prefix, value, value);
	list_set(list, prefix, value);
}

// In eight changes `goes` that remove, if there is something.
static void change_some(struct lpm *lpm, struct list *list, unsigned goes, uint64_t *seed)
{
	static int values[8];
	for (unsigned i = 0; i < CHANGES; i++) {
		struct prefix prefix = random_prefix(seed);
		void *value = &values[random_next(seed) % 8];
		if (list->count && random_next(seed) % 8 < goes) {
			prefix = list->prefixes[random_next(seed) % list->count];
			value = NULL;
		}
		assert_int_equal(lpm_reserve(lpm, random_next(seed) % 3 + 1), 0);
		change(lpm, list, &prefix, value);
		compare(lpm, list, seed);
	}
}

// It fills, is emptied, fills again.
static void agrees_with_a_list(void **state)
{
	static const unsigned goes[] = {1, 7, 3};
	static struct list list;
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		_cleanup_(lpm_freep) struct lpm *lpm = lpm_new(0);
		uint64_t random = seed;
		assert_non_null(lpm);
		for (unsigned i = 0; i < 3; i++)
			change_some(lpm, &list, goes[i], &random);
		while (list.count) {
			compare(lpm, &list, &random);
			struct prefix prefix = list.prefixes[0];
			change(lpm, &list, &prefix, NULL);
		}
		compare(lpm, &list, &random);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_empty),	 cmocka_unit_test(every_length_has_its_own),
		cmocka_unit_test(the_first_value_stays), cmocka_unit_test(finds_what_is_around),
		cmocka_unit_test(agrees_with_a_list),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
