// SPDX-License-Identifier: Apache-2.0
// The members of a gateway, over members that are none: whoever walks meets everybody who stays once, whoever comes and goes.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "server/member.h"
#include "server/roster.c"

#define MANY 3000u

struct member {
	uint64_t number;
	char identity[16];
	bool there;
	unsigned met;
};

static struct member members[2 * MANY];
static struct roster *roster;

uint64_t *member_number(struct member *member)
{
	return &member->number;
}

const char *member_identity(const struct member *member)
{
	return member->identity;
}

static void add(struct member *member)
{
	assert_int_equal(roster_add(roster, member), 0);
	member->there = true;
}

static void drop(struct member *member)
{
	roster_remove(roster, member);
	member->there = false;
}

static int set_up(void **state)
{
	(void)state;
	memset(members, 0, sizeof(members));
	roster = roster_new();
	for (unsigned i = 0; i < 2 * MANY; i++)
		snprintf(members[i].identity, sizeof(members[i].identity), "%u", i);
	for (unsigned i = 0; i < MANY; i++)
		add(&members[i]);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	roster_free(roster);
	return 0;
}

static void each_is_found_by_its_identity(void **state)
{
	struct member again = {.identity = "7"};
	(void)state;
	assert_int_equal(roster_count(roster), MANY);
	assert_ptr_equal(roster_find(roster, "7"), &members[7]);
	assert_int_equal(roster_add(roster, &again), -EEXIST);
	drop(&members[7]);
	assert_null(roster_find(roster, "7"));
	assert_int_equal(roster_add(roster, &again), 0);
	assert_ptr_equal(roster_find(roster, "7"), &again);
	assert_int_equal(roster_count(roster), MANY);
}

static void a_walk_goes_from_the_last_to_the_first(void **state)
{
	uint64_t cursor = ROSTER_END;
	(void)state;
	for (unsigned i = MANY; i > 0; i--)
		assert_ptr_equal(roster_before(roster, &cursor), &members[i - 1]);
	assert_null(roster_before(roster, &cursor));
	assert_null(roster_before(roster, &cursor));
}

// With every member met, some of those that were, some that were not, and the one itself go, until few are left, and others come.
static void who_stays_is_met_once(void **state)
{
	uint64_t cursor = ROSTER_END;
	struct member *member;
	unsigned steps = 0;
	(void)state;
	while ((member = roster_before(roster, &cursor))) {
		assert_true(member->there);
		member->met++;
		if (steps % 3 == 0)
			drop(member);
		if (steps % 2 == 0 && members[steps].there)
			drop(&members[steps]);
		if (steps % 5 == 0)
			add(&members[MANY + steps]);
		steps++;
	}
	for (unsigned i = 0; i < MANY; i++) {
		assert_true(members[i].met <= 1);
		assert_true(members[i].met == 1 || !members[i].there);
	}
	for (unsigned i = MANY; i < 2 * MANY; i++)
		assert_int_equal(members[i].met, 0);
}

static void gaps_do_not_pile_up(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20 * MANY; i++) {
		drop(&members[i % MANY]);
		add(&members[i % MANY]);
		assert_true(roster->count <= 2 * MANY + 1);
	}
	for (unsigned i = 0; i < MANY; i++)
		drop(&members[i]);
	assert_true(roster->count <= 1);
	uint64_t cursor = ROSTER_END;
	assert_null(roster_before(roster, &cursor));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(each_is_found_by_its_identity),
		CASE(a_walk_goes_from_the_last_to_the_first),
		CASE(who_stays_is_met_once),
		CASE(gaps_do_not_pile_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
