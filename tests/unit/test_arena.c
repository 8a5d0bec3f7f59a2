// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/arena.h"

// Objects are zero, aligned and apart, whatever their sizes.
static void test_apart(void **state)
{
	_cleanup_(arena_freep) struct arena *arena = arena_new();
	unsigned char *objects[300];
	(void)state;
	assert_non_null(arena);
	for (size_t i = 0; i < 300; i++) {
		size_t size = i * 7 + 1;
		objects[i] = arena_alloc(arena, size, 1);
		assert_non_null(objects[i]);
		assert_int_equal((uintptr_t)objects[i] % _Alignof(max_align_t), 0);
		for (size_t j = 0; j < size; j++)
			assert_int_equal(objects[i][j], 0);
		memset(objects[i], (int)(i % 251 + 1), size);
	}
	for (size_t i = 0; i < 300; i++)
		for (size_t j = 0; j < i * 7 + 1; j++)
			assert_int_equal(objects[i][j], i % 251 + 1);
}

static void test_large(void **state)
{
	_cleanup_(arena_freep) struct arena *arena = arena_new();
	(void)state;
	char *large = arena_alloc(arena, 1000, 1000);
	assert_non_null(large);
	large[999999] = 1;
	assert_null(arena_alloc(arena, SIZE_MAX / 2, 3));
	assert_null(arena_alloc(arena, SIZE_MAX, 1));
	assert_non_null(arena_alloc(arena, 0, 8));
}

static void test_copy(void **state)
{
	static const unsigned numbers[] = {3, 1, 4};
	_cleanup_(arena_freep) struct arena *arena = arena_new();
	(void)state;
	char text[] = "as it was";
	const char *copy = arena_text(arena, text);
	text[0] = 'A';
	assert_string_equal(copy, "as it was");
	assert_memory_equal(arena_copy(arena, numbers, 3, sizeof(*numbers)), numbers,
			    sizeof(numbers));
	assert_non_null(arena_copy(arena, NULL, 0, 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_apart),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_copy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
