// SPDX-License-Identifier: Apache-2.0
// Revocation lists in the configuration.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "daemon/config.h"
#include "unit/config_text.h"

#define LISTS(inside) NODE LINK "revocation: { lists = ( " inside " ); };"

static void what_is_right(void **state)
{
	_cleanup_(config_putp) struct config *config = parse(LISTS(
		"{ file = \"lists/a.crl\"; }, { url = \"http://pki.d/b.crl\"; domain = \"d\"; "
		"issuer = \"/ca.crt\"; mode = \"hard\"; grace = 0; refresh_min = 1; "
		"refresh_max = 2; }"));
	const struct config_list *lists = config->revocation.lists;

	(void)state;
	assert_int_equal(config->revocation.list_count, 2);
	assert_string_equal(lists[0].file, "/etc/lists/a.crl");
	assert_null(lists[0].url);
	assert_null(lists[0].domain);
	assert_null(lists[0].issuer);
	assert_false(lists[0].hard);
	assert_int_equal(lists[0].grace_s, 86400);
	assert_int_equal(lists[0].refresh_min_s, 60);
	assert_int_equal(lists[0].refresh_max_s, 86400);
	assert_null(lists[1].file);
	assert_string_equal(lists[1].url, "http://pki.d/b.crl");
	assert_string_equal(lists[1].domain, "d");
	assert_string_equal(lists[1].issuer, "/ca.crt");
	assert_true(lists[1].hard);
	assert_int_equal(lists[1].grace_s, 0);
	assert_int_equal(lists[1].refresh_min_s, 1);
	assert_int_equal(lists[1].refresh_max_s, 2);
}

static void what_is_wrong(void **state)
{
	static const struct wrong wrong[] = {
		{LISTS("{ mode = \"soft\"; }"), "/etc/m.conf:3: revocation.lists[0]",
		 "a list comes from one place", "either \"file\" or \"url\"", NULL},
		{LISTS("{ file = \"a\"; url = \"http://b/\"; }"),
		 "/etc/m.conf:3: revocation.lists[0]", "one place", "either", NULL},
		{LISTS("{ url = \"ftp://b/\"; }"), "/etc/m.conf:3: revocation.lists[0].url",
		 "found the string \"ftp://b/\"", "a URL such as", NULL},
		{LISTS("{ url = \"http://\"; }"), "/etc/m.conf:3: revocation.lists[0].url", "found",
		 "a URL such as", NULL},
		{LISTS("{ url = \"http://u:p@b/\"; }"), "/etc/m.conf:3: revocation.lists[0].url",
		 "found", "a URL such as", NULL},
		{LISTS("{ file = \"a\"; mode = \"firm\"; }"),
		 "/etc/m.conf:3: revocation.lists[0].mode", "found the string \"firm\"",
		 "\"soft\" or \"hard\"", NULL},
		{LISTS("{ file = \"a\"; grace = -1; }"), "/etc/m.conf:3: revocation.lists[0].grace",
		 "found the integer -1", "an integer from 0 to 31536000", NULL},
		{LISTS("{ file = \"a\"; refresh_min = 61; refresh_max = 60; }"),
		 "/etc/m.conf:3: revocation.lists[0]", "refresh_min is 61, refresh_max 60",
		 "no less than", NULL},
		{LISTS("{ file = \"a\"; graces = 60; }"),
		 "/etc/m.conf:3: revocation.lists[0].graces", "unknown setting", NULL,
		 "revocation.lists[].grace"},
		{LISTS("{ file = \"a\"; domain = \"a b\"; }"),
		 "/etc/m.conf:3: revocation.lists[0].domain", "found", "a trust domain", NULL},
		{LISTS("\"a\""), "/etc/m.conf:3: revocation.lists[0]", "found the string",
		 "a group", NULL},
	};

	(void)state;
	CHECK_WRONG(wrong);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_right),
		cmocka_unit_test(what_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
