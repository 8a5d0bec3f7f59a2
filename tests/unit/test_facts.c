// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pki/facts.h"
#include "unit/pki_fixture.h"

#define IDENTITY "spiffe://corp.example/laptop/alice"

static struct facts read_of(const struct fixture_options *options)
{
	_cleanup_(fixture_freep) struct fixture *root = fixture_root("Contractor CA");
	_cleanup_(fixture_freep) struct fixture *leaf = fixture_issue(root, options);
	struct facts facts;
	assert_int_equal(facts_read(leaf->certificate, &facts), 0);
	return facts;
}

static void names_the_issuer_and_all_units(void **state)
{
	struct fixture_options options = {
		.uris = {IDENTITY},
		.units = {"Build", "K\xc3\xbc"
				   "che, Keller"},
	};

	(void)state;
	struct facts facts = read_of(&options);
	assert_string_equal(facts.issuer, "CN=Contractor CA");
	assert_int_equal(facts.unit_count, 2);
	assert_string_equal(facts.units[0], "Build");
	assert_string_equal(facts.units[1], options.units[1]);
	assert_false(facts.hardware);
	facts_done(&facts);
	assert_null(facts.issuer);
}

static bool hardware_by(const char *policies)
{
	struct fixture_options options = {.uris = {IDENTITY}, .policies = policies};
	struct facts facts = read_of(&options);
	bool hardware = facts.hardware;
	assert_int_equal(facts.unit_count, 0);
	facts_done(&facts);
	return hardware;
}

static void knows_keys_in_hardware_by_policy(void **state)
{
	(void)state;
	assert_true(hardware_by("1.3.6.1.4.1.311.21.30"));
	assert_true(hardware_by("1.2.3.4,1.3.6.1.4.1.311.21.31"));
	assert_true(hardware_by("1.3.6.1.4.1.311.21.32"));
	assert_true(hardware_by("2.16.840.1.101.3.2.1.3.36"));
	assert_false(hardware_by("1.3.6.1.4.1.311.21.3"));
	assert_false(hardware_by("1.3.6.1.4.1.311.21.301"));
	assert_false(hardware_by("2.5.29.32.0"));
	assert_false(hardware_by(NULL));
}

static void tells_what_changed(void **state)
{
	struct fixture_options options = {.uris = {IDENTITY}, .units = {"Build"}};
	struct facts nothing = {0};

	(void)state;
	struct facts a = read_of(&options);
	struct facts b = read_of(&options);
	assert_true(facts_equal(&a, &b));
	assert_false(facts_equal(&a, &nothing));
	facts_done(&b);
	options.units[0] = "build";
	b = read_of(&options);
	assert_false(facts_equal(&a, &b));
	facts_done(&b);
	options.units[0] = "Build";
	options.policies = "1.3.6.1.4.1.311.21.30";
	b = read_of(&options);
	assert_false(facts_equal(&a, &b));
	facts_done(&a);
	facts_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_the_issuer_and_all_units),
		cmocka_unit_test(knows_keys_in_hardware_by_policy),
		cmocka_unit_test(tells_what_changed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
