// SPDX-License-Identifier: Apache-2.0

#include "base/hex.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static void every_byte_there_and_back(void **state)
{
	(void)state;
	uint8_t bytes[256], again[256];
	char text[HEX_TEXT_MAX(sizeof(bytes))];
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	assert_ptr_equal(hex_text(bytes, sizeof(bytes), text), text);
	assert_memory_equal(text, "000102", 6);
	assert_string_equal(text + 2ul * 0xa9, "a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0"
					       "c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8"
					       "d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0"
					       "f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
	assert_int_equal(hex_parse(text, strlen(text), again, sizeof(again)), 0);
	assert_memory_equal(again, bytes, sizeof(bytes));
}

static void nothing_is_an_empty_text(void **state)
{
	(void)state;
	char text[HEX_TEXT_MAX(0)] = "x";
	assert_string_equal(hex_text(NULL, 0, text), "");
	assert_int_equal(hex_parse("", 0, NULL, 0), 0);
}

static void reads_either_case(void **state)
{
	(void)state;
	static const uint8_t expected[] = {0xab, 0xcd, 0xef};
	uint8_t bytes[3];
	assert_int_equal(hex_parse("aBCdEf", 6, bytes, sizeof(bytes)), 0);
	assert_memory_equal(bytes, expected, sizeof(bytes));
}

static void refuses_what_is_none(void **state)
{
	(void)state;
	static const char *const wrong[] = {"",	    "a",    "abc",  "abcde", "abcdef",
					    "ab d", "ab/d", "ab:d", "ab@d",  "abGd",
					    "ab`d", "abgd", "0xab", "-1-1",  "ab\xc3\xa4"};
	uint8_t bytes[3];
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(hex_parse(wrong[i], strlen(wrong[i]), bytes, 2), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_there_and_back),
		cmocka_unit_test(nothing_is_an_empty_text),
		cmocka_unit_test(reads_either_case),
		cmocka_unit_test(refuses_what_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
