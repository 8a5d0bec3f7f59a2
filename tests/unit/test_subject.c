// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "tun/subject.h"

#define ALICE "spiffe://corp.example/laptop/alice"
#define BOB   "spiffe://corp.example/laptop/bob"

static struct subjects *subjects;

static int set_up(void **state)
{
	(void)state;
	subjects = subjects_new();
	return subjects ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	subjects = subjects_free(subjects);
	return 0;
}

static struct subject *get(const char *identity)
{
	struct subject *subject = NULL;
	assert_int_equal(subject_get(subjects, identity, false, &subject), 0);
	return subject;
}

static void one_identity_is_one_subject(void **state)
{
	(void)state;
	struct subject *alice = get(ALICE);
	struct subject *bob = get(BOB);
	assert_ptr_equal(get(ALICE), alice);
	assert_true(alice->number != 0 && bob->number != 0 && alice->number != bob->number);
	assert_ptr_equal(subject_at(subjects, bob->number), bob);
	assert_ptr_equal(subject_find(subjects, BOB, false), bob);
	assert_null(subject_at(subjects, 0));
	assert_int_equal(subjects_present(subjects), 2);
	subject_put(subjects, alice, 1);
	assert_int_equal(subjects_present(subjects), 2);
	subject_put(subjects, alice, 1);
	assert_int_equal(subjects_present(subjects), 1);
	assert_null(subject_find(subjects, ALICE, false));
	subject_put(subjects, bob, 1);
}

static void who_is_dialled_is_another_than_who_dials(void **state)
{
	(void)state;
	struct subject *peer = get(ALICE), *link = NULL;
	assert_null(subject_find(subjects, ALICE, true));
	assert_int_equal(subject_get(subjects, ALICE, true, &link), 0);
	assert_true(link != peer && link->number != peer->number && link->link && !peer->link);
	assert_string_equal(link->identity, ALICE);
	assert_ptr_equal(subject_find(subjects, ALICE, true), link);
	subject_put(subjects, link, 1);
	assert_null(subject_find(subjects, ALICE, true));
	assert_ptr_equal(subject_find(subjects, ALICE, false), peer);
	subject_put(subjects, peer, 1);
}

static void nobody_gets_the_number_of_one_whose_flows_count(void **state)
{
	char identity[80];

	(void)state;
	struct subject *alice = get(ALICE);
	unsigned number = alice->number;
	atomic_store(&alice->named, 1);
	subject_put(subjects, alice, 1);
	// All other numbers, and one more.
	for (unsigned i = 2; i < SUBJECTS_MAX; i++) {
		snprintf(identity, sizeof(identity), "%s-%u", BOB, i);
		assert_int_not_equal(get(identity)->number, number);
	}
	struct subject *none = NULL;
	assert_int_equal(subject_get(subjects, BOB, false, &none), -ENOSPC);
	assert_null(none);
	// Whoever it was may come back.
	assert_ptr_equal(get(ALICE), alice);
	subject_put(subjects, alice, 2);
	subjects_collect(subjects);
	assert_ptr_equal(subject_find(subjects, ALICE, false), alice);
	atomic_store(&alice->named, 0);
	subjects_collect(subjects);
	assert_null(subject_find(subjects, ALICE, false));
	assert_int_equal(get(BOB)->number, number);
	for (unsigned i = 0; i < SUBJECTS_MAX; i++)
		subject_put(subjects, subject_at(subjects, i), 3);
	assert_int_equal(subjects_count(subjects), 0);
}

static struct facts facts_with(const char *unit)
{
	struct facts facts = {.issuer = strdup("CN=CA"), .unit_count = 1};
	facts.units = calloc(1, sizeof(char *));
	assert_non_null(facts.units);
	facts.units[0] = strdup(unit);
	return facts;
}

static void tells_other_facts_from_the_same(void **state)
{
	(void)state;
	struct subject *alice = get(ALICE);
	struct facts facts = facts_with("Build");
	assert_true(subject_set_facts(alice, &facts));
	assert_null(facts.issuer);
	facts = facts_with("Build");
	assert_false(subject_set_facts(alice, &facts));
	facts = facts_with("Sales");
	assert_true(subject_set_facts(alice, &facts));
	assert_string_equal(alice->facts.units[0], "Sales");
	subject_put(subjects, alice, 1);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(one_identity_is_one_subject),
		CASE(who_is_dialled_is_another_than_who_dials),
		CASE(nobody_gets_the_number_of_one_whose_flows_count),
		CASE(tells_other_facts_from_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
