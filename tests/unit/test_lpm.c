// SPDX-License-Identifier: Apache-2.0
// Every length of both families nested in each other; tests/unit/test_route.c compares with a model.

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_empty),
		cmocka_unit_test(every_length_has_its_own),
		cmocka_unit_test(the_first_value_stays),
		cmocka_unit_test(finds_what_is_around),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
