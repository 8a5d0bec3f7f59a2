// SPDX-License-Identifier: Apache-2.0
// The filter beside the rules it was made of, one by one.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "tun/filter.h"
#include "tun/rule.h"
#include "unit/policy_fixture.h"

#define POLICIES  1000u
#define QUESTIONS 100u
#define BYTES	  8192u

static void random_bytes(uint64_t *seed, uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
		z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
		bytes[i] = (uint8_t)(z >> 40);
	}
}

static void agrees_with_the_rules(void **state)
{
	static struct policy_fixture fixture;
	static uint8_t bytes[BYTES];
	unsigned allowed = 0, denied = 0, none = 0;
	uint64_t seed = 1;
	(void)state;
	for (unsigned policy = 0; policy < POLICIES; policy++) {
		_cleanup_(filter_freep) struct filter *filter = NULL;
		random_bytes(&seed, bytes, sizeof(bytes));
		struct reader reader = reader_over(bytes, sizeof(bytes));
		policy_fixture_fill(&fixture, &reader);
		assert_int_equal(filter_new(&fixture.rules, fixture.active, &filter), 0);
		for (unsigned i = 0; i < QUESTIONS; i++) {
			struct addr addrs[2];
			struct rule_question question;
			struct filter_verdict verdict;
			uint8_t ask[8];
			random_bytes(&seed, ask, sizeof(ask));
			reader = reader_over(ask, sizeof(ask));
			policy_fixture_question(&reader, addrs, &question);
			const char *what =
				policy_fixture_differ(&fixture, filter, &question, &verdict);
			if (what)
				fail_msg("policy %u, question %u: %s differs", policy, i, what);
			allowed += verdict.allow;
			denied += !verdict.allow && verdict.rule != FILTER_NO_RULE;
			none += verdict.rule == FILTER_NO_RULE;
		}
	}
	// Else it asked nothing.
	assert_true(allowed > 10000);
	assert_true(denied > 10000);
	assert_true(none > 10000);
}

static const struct rule_peer engineers[] = {{.identity = "spiffe://a.example/laptop/*"}};
static const struct rule_group groups[] = {{.peers = engineers, .peer_count = 1}};
static const struct rule_service ssh[] = {{.protocols = {IPPROTO_TCP}, .first = 22, .last = 22}};
static const unsigned group_words[] = {0};

static void equal_peers_share_a_class(void **state)
{
	const struct rule rule = {
		.from = {.groups = group_words, .group_count = 1},
		.to.any = true,
		.services = ssh,
		.service_count = 1,
	};
	const struct rules rules = {
		.groups = groups, .group_count = 1, .rules = &rule, .rule_count = 1};
	const struct filter_peer one = {.identity = "spiffe://a.example/laptop/1"};
	const struct filter_peer two = {.identity = "spiffe://a.example/laptop/2"};
	const struct filter_peer other = {.identity = "spiffe://a.example/site/2"};
	_cleanup_(filter_freep) struct filter *filter = NULL;
	(void)state;
	assert_int_equal(filter_new(&rules, NULL, &filter), 0);
	const struct filter_class *class = filter_class_of(filter, &one);
	assert_non_null(class);
	assert_ptr_equal(filter_class_of(filter, &two), class);
	assert_ptr_not_equal(filter_class_of(filter, &other), class);
	assert_non_null(filter_class_of(filter, &other));
	filter_set_class(filter, 7, class);
	assert_ptr_equal(filter_class(filter, 7), class);
	assert_null(filter_class(filter, 0));
	assert_null(filter_class(filter, FILTER_SUBJECTS_MAX - 1));
	filter_set_class(filter, 7, NULL);
	assert_null(filter_class(filter, 7));
}

static void generations_grow(void **state)
{
	const struct rules rules = {0};
	_cleanup_(filter_freep) struct filter *first = NULL;
	_cleanup_(filter_freep) struct filter *second = NULL;
	(void)state;
	assert_int_equal(filter_new(&rules, NULL, &first), 0);
	assert_int_equal(filter_new(&rules, NULL, &second), 0);
	filter_follow(first, NULL);
	filter_follow(second, first);
	assert_int_equal(filter_generation(first), 1);
	assert_int_equal(filter_generation(second), 2);
}

static void keeps_nothing_of_the_rules(void **state)
{
	_cleanup_(filter_freep) struct filter *filter = NULL;
	struct policy_fixture *fixture = calloc(1, sizeof(*fixture));
	struct filter_verdict before, after;
	struct addr addr = {.family = AF_INET, .bytes = {10}};
	char *pattern = strdup("spiffe://a.example/laptop/*");
	(void)state;
	assert_non_null(fixture);
	fixture->peers[0][0].identity = pattern;
	fixture->groups[0] = (struct rule_group){.peers = fixture->peers[0], .peer_count = 1};
	fixture->services[0][0] = ssh[0];
	fixture->list[0] = (struct rule){
		.from = {.groups = fixture->words[0][0], .group_count = 1},
		.to.any = true,
		.services = fixture->services[0],
		.service_count = 1,
	};
	fixture->rules = (struct rules){.groups = fixture->groups,
					.group_count = 1,
					.rules = fixture->list,
					.rule_count = 1};
	assert_int_equal(filter_new(&fixture->rules, NULL, &filter), 0);
	free(pattern);
	free(fixture);
	const struct filter_peer peer = {.identity = "spiffe://a.example/laptop/1"};
	struct filter_question question = {
		.from = {.class = filter_class_of(filter, &peer), .addr = &addr},
		.to.addr = &addr,
		.protocol = IPPROTO_TCP,
		.port = 22,
	};
	filter_judge(filter, &question, &before);
	question.port = 23;
	filter_judge(filter, &question, &after);
	assert_true(before.allow);
	assert_false(after.allow);
}

static void there_is_a_most(void **state)
{
	const struct rules rules = {.rule_count = FILTER_RULES_MAX + 1};
	struct filter *filter = NULL;
	(void)state;
	assert_int_equal(filter_new(&rules, NULL, &filter), -E2BIG);
	assert_null(filter);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_the_rules),
		cmocka_unit_test(equal_peers_share_a_class),
		cmocka_unit_test(generations_grow),
		cmocka_unit_test(keeps_nothing_of_the_rules),
		cmocka_unit_test(there_is_a_most),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
