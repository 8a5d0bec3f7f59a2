// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "base/table.h"

#define ITEMS 5000u

struct item {
	uint32_t key;
	bool in, seen;
};

static struct item items[ITEMS];

static int set_up(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < ITEMS; i++)
		items[i] = (struct item){.key = i * 7};
	return 0;
}

static void finds_what_was_added(void **state)
{
	_cleanup_(table_freep) struct table *table = table_new();
	int one, two;

	(void)state;
	assert_non_null(table);
	assert_null(table_find(table, "a", 1));
	assert_null(table_remove(table, "a", 1));
	assert_int_equal(table_add(table, "a", 1, &one), 0);
	assert_int_equal(table_add(table, "a", 1, &two), -EEXIST);
	assert_ptr_equal(table_find(table, "a", 1), &one);
	// Length counts: "a", "a\0" and "" are three keys.
	assert_int_equal(table_add(table, "a\0", 2, &two), 0);
	assert_int_equal(table_add(table, "", 0, &two), 0);
	assert_ptr_equal(table_find(table, "a", 1), &one);
	assert_int_equal(table_count(table), 3);
	assert_ptr_equal(table_remove(table, "a", 1), &one);
	assert_null(table_find(table, "a", 1));
	assert_ptr_equal(table_find(table, "a\0", 2), &two);
	assert_int_equal(table_count(table), 2);
	assert_null(table_free(NULL));
}

static void agrees_with_a_model(void **state)
{
	_cleanup_(table_freep) struct table *table = table_new();
	uint32_t seed = 5;
	size_t count = 0;

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		seed = seed * 1664525u + 1013904223u;
		struct item *item = &items[(seed >> 8) % ITEMS];
		bool in = item->in;
		assert_ptr_equal(table_find(table, &item->key, sizeof(item->key)),
				 in ? item : NULL);
		if (seed >> 30 == 0) {
			assert_ptr_equal(table_remove(table, &item->key, sizeof(item->key)),
					 in ? item : NULL);
			item->in = false;
		} else {
			assert_int_equal(table_add(table, &item->key, sizeof(item->key), item),
					 in ? -EEXIST : 0);
			item->in = true;
		}
		count = count + item->in - in;
		assert_int_equal(table_count(table), count);
	}
}

static void walks_all_once(void **state)
{
	_cleanup_(table_freep) struct table *table = table_new();
	size_t cursor = 0;
	unsigned seen = 0;
	const struct item *item;

	(void)state;
	while (table_next(table, &cursor))
		fail();
	for (unsigned i = 0; i < ITEMS; i++)
		assert_int_equal(table_add(table, &items[i].key, sizeof(items[i].key), &items[i]),
				 0);
	for (cursor = 0; (item = table_next(table, &cursor)); seen++) {
		assert_false(item->seen);
		items[item - items].seen = true;
	}
	assert_int_equal(seen, ITEMS);
	assert_null(table_next(table, &cursor)); // the end stays the end
}

static void the_walker_may_remove(void **state)
{
	_cleanup_(table_freep) struct table *table = table_new();
	size_t cursor = 0;
	unsigned seen = 0, kept = 0;
	struct item *item;

	(void)state;
	for (unsigned i = 0; i < ITEMS; i++)
		assert_int_equal(table_add(table, &items[i].key, sizeof(items[i].key), &items[i]),
				 0);
	for (; (item = table_next(table, &cursor)); seen++) {
		assert_false(item->seen);
		item->seen = true;
		if (item->key % 3 == 0)
			kept++;
		else
			assert_ptr_equal(table_remove(table, &item->key, sizeof(item->key)), item);
	}
	assert_int_equal(seen, ITEMS);
	assert_int_equal(table_count(table), kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_was_added),
		cmocka_unit_test_setup(agrees_with_a_model, set_up),
		cmocka_unit_test_setup(walks_all_once, set_up),
		cmocka_unit_test_setup(the_walker_may_remove, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
