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

static void hours_are_those_of_their_zone(void **state)
{
	static const struct rule_hours hours = {.days = 1, .from_min = 480, .to_min = 1020};
	struct rule one = {.from.any = true, .to.any = true, .zone_name = "Europe/Berlin"};
	struct rule other = one;
	(void)state;
	other.zone_name = "Asia/Tokyo";
	expect(&one, &other, true);
	one.hours = other.hours = &hours;
	one.hour_count = other.hour_count = 1;
	expect(&one, &other, false);
	other.zone_name = NULL;
	expect(&one, &other, false);
	other.zone_name = "Europe/Berlin";
	expect(&one, &other, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_places_do_not_count),
		cmocka_unit_test(whatever_changes_what_passes_counts),
		cmocka_unit_test(hours_are_those_of_their_zone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
