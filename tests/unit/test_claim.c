// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "client/claim.h"
#include "unit/addr_fixture.h"

static void assert_around(const struct claims *claims, bool of_peers, const char *text,
			  const char *expected)
{
	struct prefix prefix = prefix_from(text);
	char found[PREFIX_TEXT_MAX];
	const struct prefix *around =
		of_peers ? claims_of_peers(claims, &prefix) : claims_around(claims, &prefix);
	if (!expected) {
		assert_null(around);
		return;
	}
	assert_non_null(around);
	assert_string_equal(prefix_text(around, found), expected);
}

static void finds_the_longest_claim(void **state)
{
	struct prefix peers[] = {prefix_from("10.30.0.0/16"), prefix_from("10.90.0.0/16")};
	struct prefix behind[] = {prefix_from("0.0.0.0/0"), prefix_from("10.0.0.0/8")};
	struct claim_list list = {peers, 2, behind, 2};
	_cleanup_(claims_freep) struct claims *claims = claims_new();

	(void)state;
	assert_non_null(claims);
	assert_around(claims, false, "10.30.5.0/24", NULL);
	assert_int_equal(claims_set(claims, &list), 0);
	assert_around(claims, false, "10.30.5.0/24", "10.30.0.0/16");
	assert_around(claims, false, "10.30.0.0/16", "10.30.0.0/16");
	assert_around(claims, false, "10.30.0.0/15", "10.0.0.0/8");
	assert_around(claims, false, "10.20.0.0/24", "10.0.0.0/8");
	assert_around(claims, false, "10.0.0.0/7", NULL);
	// A default route says nothing of what is whose.
	assert_around(claims, false, "192.0.2.0/24", NULL);
	assert_around(claims, false, "0.0.0.0/0", NULL);
	assert_around(claims, true, "10.90.0.7", "10.90.0.0/16");
	assert_around(claims, true, "10.20.0.7", NULL);
	list = (struct claim_list){.behind = behind, .behind_count = 2};
	assert_int_equal(claims_set(claims, &list), 0);
	assert_around(claims, false, "10.30.5.0/24", "10.0.0.0/8");
	assert_around(claims, true, "10.90.0.7", NULL);
	list = (struct claim_list){0};
	assert_int_equal(claims_set(claims, &list), 0);
	assert_around(claims, false, "10.30.5.0/24", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_longest_claim),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
