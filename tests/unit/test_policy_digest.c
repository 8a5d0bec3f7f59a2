// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "server/policy_digest.h"
#include "tun/rule.h"

static void digest_of(const struct rule *rule, char ret[POLICY_DIGEST_SIZE])
{
	const struct rules rules = {.inbound = rule, .inbound_count = 1};
	assert_int_equal(policy_digest(&rules, ret), 0);
}

static void expect(const struct rule *one, const struct rule *other, bool same)
{
	char first[POLICY_DIGEST_SIZE], second[POLICY_DIGEST_SIZE];
	digest_of(one, first);
	digest_of(other, second);
	assert_int_equal(strcmp(first, second) == 0, same);
}

static void names_and_places_do_not_count(void **state)
{
	struct rule one = {.from.any = true, .to.any = true, .name = "a", .place = "m.conf:1"};
	struct rule other = {.from.any = true, .to.any = true};
	(void)state;
	expect(&one, &other, true);
}

static void whatever_changes_what_passes_counts(void **state)
{
	const struct rule one = {.from.any = true, .to.any = true};
	struct rule other = one;
	(void)state;
	other.own = true;
	expect(&one, &other, false);
	other = one;
	other.deny = true;
	expect(&one, &other, false);
	other = one;
	other.log = true;
	expect(&one, &other, false);
	other = one;
	other.expires = 1;
	expect(&one, &other, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_places_do_not_count),
		cmocka_unit_test(whatever_changes_what_passes_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
