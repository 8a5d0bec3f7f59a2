// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "base/error.h"

static void is_set_in_parts(void **state)
{
	struct error error;
	char text[ERROR_TEXT_MAX];

	(void)state;
	memset(&error, 0xff, sizeof(error));
	assert_int_equal(error_set(&error, EINVAL, "port %d is no port", 0), -EINVAL);
	assert_int_equal(error.code, EINVAL);
	assert_string_equal(error.what, "port 0 is no port");
	assert_string_equal(error.where, "");
	assert_string_equal(error.expected, "");
	assert_string_equal(error.remedy, "");
	assert_string_equal(error_text(&error, text, sizeof(text)), "port 0 is no port");
	assert_int_equal(error_where(&error, "%s:%d", "mutun.conf", 3), -EINVAL);
	assert_int_equal(error_expected(&error, "1 to %u", 65535u), -EINVAL);
	assert_int_equal(error_remedy(&error, "take another"), -EINVAL);
	assert_string_equal(error_text(&error, text, sizeof(text)),
			    "mutun.conf:3: port 0 is no port; expected 1 to 65535; take another");
	assert_int_equal(error_set(&error, ENOENT, "gone"), -ENOENT);
	assert_string_equal(error_text(&error, text, sizeof(text)), "gone");
}

static void may_be_absent(void **state)
{
	(void)state;
	assert_int_equal(error_set(NULL, ENOENT, "x"), -ENOENT);
	assert_int_equal(error_where(NULL, "x"), -EINVAL);
	assert_int_equal(error_expected(NULL, "x"), -EINVAL);
	assert_int_equal(error_remedy(NULL, "x"), -EINVAL);
}

static void is_one_line(void **state)
{
	struct error error;
	char text[ERROR_TEXT_MAX];

	(void)state;
	error_set(&error, EINVAL, "a\nb\x1b[31m\x7f\tc");
	assert_string_equal(error_text(&error, text, sizeof(text)), "a?b?[31m??c");
}

static void is_cut_where_there_is_no_room(void **state)
{
	struct error error;
	char text[ERROR_TEXT_MAX], longest[1000], small[8];

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	error_set(&error, EINVAL, "%s", longest);
	error_where(&error, "%s", longest);
	error_expected(&error, "%s", longest);
	error_remedy(&error, "%s", longest);
	assert_int_equal(strlen(error.what), sizeof(error.what) - 1);
	assert_int_equal(strlen(error.remedy), sizeof(error.remedy) - 1);
	// ERROR_TEXT_MAX has room for everything.
	assert_int_equal(strlen(error_text(&error, text, sizeof(text))),
			 191 + 2 + 383 + 11 + 191 + 2 + 255);
	assert_string_equal(error_text(&error, small, sizeof(small)), "xxxxxxx");
	error_text(&error, small, 1);
	assert_string_equal(small, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_set_in_parts),
		cmocka_unit_test(may_be_absent),
		cmocka_unit_test(is_one_line),
		cmocka_unit_test(is_cut_where_there_is_no_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
