// SPDX-License-Identifier: Apache-2.0

#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"

static void as_in_rfc_4648(void **state)
{
	(void)state;
	static const char *const texts[] = {"",		"Zg==",	    "Zm8=",    "Zm9v",
					    "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		char text[BASE64_TEXT_MAX(6)];
		size_t size = 99;
		assert_string_equal(base64_text((const uint8_t *)"foobar", i, text), texts[i]);
		_cleanup_(freep) uint8_t *bytes = base64_parse(text, strlen(text), &size);
		assert_non_null(bytes);
		assert_int_equal(size, i);
		assert_memory_equal(bytes, "foobar", i);
	}
}

static void refuses_every_other_text_of_a_value(void **state)
{
	(void)state;
	static const char *const wrong[] = {
		"Z",	     "Zg",	 "Zg=",	   "Zh==",     "Zm9=",	    "=",     "==",
		"====",	     "Zg==Zg==", " Zg==",  "Zg== ",    "Zm9v\n",    "Zm 9v", "Zm9v Zm9",
		"Zm9vYg=",   "Zm9v====", "Zm9-",   "Zm9_",     "Zm9!",	    "Z===",  "=Zg=",
		"Zm9v\r\nZ", "\tZm9",	 "Zg=\n=", "Zm9vYmE-", "Zm9vYmE=\n"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		size_t size = 99;
		assert_null(base64_parse(wrong[i], strlen(wrong[i]), &size));
		assert_int_equal(size, 99);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_in_rfc_4648),
		cmocka_unit_test(refuses_every_other_text_of_a_value),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
