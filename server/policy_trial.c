// SPDX-License-Identifier: Apache-2.0

#include "server/policy_trial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "server/policy.h"
#include "server/policy_interval.h"
#include "server/policy_service.h"
#include "server/policy_words.h"

#define WHO_MAX 96

struct trial {
	const struct rules *rules;
	const struct policy_test *tests;
	policy_failed failed;
	void *data;
	struct policy_interval *intervals[FILTER_PROGRAMS];
	size_t interval_counts[FILTER_PROGRAMS];
	struct filter *filter; // of the time of the tests that are run
	unsigned failures;
};

// What is asked next.
struct ask {
	const struct policy_test *test;
	struct filter_question question;
	struct addr from, to;
	bool allow; // what the answer must be
};

static void trial_done(struct trial *trial)
{
	for (unsigned i = 0; i < FILTER_PROGRAMS; i++)
		free(trial->intervals[i]);
	filter_free(trial->filter);
}

// The limits of the rules and of the tests themselves.
static int make_intervals(struct trial *trial, enum filter_program program, unsigned count)
{
	_cleanup_(policy_intervals_freep) struct policy_intervals *intervals =
		policy_intervals_new();
	int r = intervals ? policy_intervals_add_rules(intervals, trial->rules, program) : -ENOMEM;
	for (unsigned i = 0; r == 0 && i < count; i++) {
		const struct policy_test *test = &trial->tests[i];
		if (test->program != program)
			continue;
		r = policy_intervals_add(intervals, test->allow, test->allow_count);
		if (r == 0)
			r = policy_intervals_add(intervals, test->deny, test->deny_count);
	}
	return r < 0 ? r
		     : policy_intervals_list(intervals, &trial->intervals[program],
					     &trial->interval_counts[program]);
}

static const char *who_text(const struct policy_end *end, char text[WHO_MAX])
{
	if (end->identity)
		snprintf(text, WHO_MAX, "%s", end->identity);
	else
		addr_text(end->v4.family == AF_INET ? &end->v4 : &end->v6, text);
	return text;
}

static void fail(struct trial *trial, const struct policy_test *test, const struct error *error)
{
	trial->failures++;
	trial->failed((unsigned)(test - trial->tests), error, trial->data);
}

static void tell(struct trial *trial, const struct ask *ask, const struct filter_verdict *verdict)
{
	const struct policy_test *test = ask->test;
	const struct rule_service service = {
		.protocols = {ask->question.protocol},
		.first = ask->question.port,
		.last = ask->question.port,
	};
	char from[WHO_MAX], to[WHO_MAX], by[POLICY_SERVICE_TEXT_MAX], rule[POLICY_WORD_MAX];
	struct error error;
	unsigned count;
	const struct rule *list = rules_of(trial->rules, test->program, &count);
	if (verdict->rule < count)
		policy_rule_text(&list[verdict->rule], rule);
	error_set(&error, EINVAL,
		  "the test%s%.60s%s fails: %s must %sreach %s by %s, but %s%.120s %s it",
		  test->name ? " \"" : "", test->name ? test->name : "", test->name ? "\"" : "",
		  who_text(&test->from, from), ask->allow ? "" : "not ", who_text(&test->to, to),
		  policy_service_text(&service, by), verdict->rule < count ? "rule " : "no rule",
		  verdict->rule < count ? rule : "",
		  ask->allow && verdict->rule < count ? "denies" : "allows");
	error_where(&error, "%s", test->place);
	error_remedy(&error, "change the rules, or what the test asks for");
	fail(trial, test, &error);
}

// ICMP is of IPv4, ICMPv6 of IPv6.
static bool is_of_family(uint8_t protocol, uint8_t family)
{
	return (protocol != IPPROTO_ICMP || family == AF_INET) &&
	       (protocol != IPPROTO_ICMPV6 || family == AF_INET6);
}

// Every interval of the service. False: one failed.
static bool ask_service(struct trial *trial, struct ask *ask, const struct rule_service *service)
{
	enum filter_program program = ask->test->program;
	for (size_t i = 0; i < trial->interval_counts[program]; i++) {
		const struct policy_interval *interval = &trial->intervals[program][i];
		struct filter_verdict verdict;
		if (!policy_interval_within(interval, service) ||
		    !is_of_family(interval->protocol, ask->from.family))
			continue;
		ask->question.protocol = interval->protocol;
		ask->question.port = interval->first;
		filter_judge(trial->filter, &ask->question, &verdict);
		if (verdict.allow == ask->allow)
			continue;
		tell(trial, ask, &verdict);
		return false;
	}
	return true;
}

static bool ask_services(struct trial *trial, struct ask *ask)
{
	const struct policy_test *test = ask->test;
	bool good = true;
	ask->allow = true;
	for (unsigned i = 0; good && i < test->allow_count; i++)
		good = ask_service(trial, ask, &test->allow[i]);
	ask->allow = false;
	for (unsigned i = 0; good && i < test->deny_count; i++)
		good = ask_service(trial, ask, &test->deny[i]);
	return good;
}

// A peer of which nothing is known has any address: the one that only rules for all networks match.
static bool end_address(const struct policy_end *end, uint8_t family, struct addr *ret)
{
	*ret = family == AF_INET ? end->v4 : end->v6;
	if (ret->family == family)
		return true;
	ret->family = family;
	return end->v4.family == AF_UNSPEC && end->v6.family == AF_UNSPEC;
}

static int run_test(struct trial *trial, const struct policy_test *test)
{
	struct ask ask = {.test = test, .question.program = test->program};
	const char *const units[] = {test->unit};
	const struct filter_peer from = {
		.identity = test->from.identity,
		.issuer = test->issuer,
		.units = units,
		.unit_count = test->unit ? 1 : 0,
		.hardware = test->hardware,
	};
	const struct filter_peer to = {.identity = test->to.identity};
	static const uint8_t families[] = {AF_INET, AF_INET6};
	bool asked = false, good = true;
	if (from.identity && !(ask.question.from.class = filter_class_of(trial->filter, &from)))
		return -ENOMEM;
	if (to.identity && !(ask.question.to.class = filter_class_of(trial->filter, &to)))
		return -ENOMEM;
	ask.question.from.addr = &ask.from;
	ask.question.to.addr = &ask.to;
	for (unsigned i = 0; good && i < 2; i++) {
		if (!end_address(&test->from, families[i], &ask.from) ||
		    !end_address(&test->to, families[i], &ask.to))
			continue;
		asked = true;
		good = ask_services(trial, &ask);
	}
	if (!asked) {
		struct error error;
		error_set(&error, EINVAL,
			  "the test fails: its ends have no IPv4 and no IPv6 in common");
		error_where(&error, "%s", test->place);
		fail(trial, test, &error);
	}
	return 0;
}

static int compare_times(const void *left, const void *right)
{
	const struct policy_test *const *a = left, *const *b = right;
	if ((*a)->at != (*b)->at)
		return (*a)->at < (*b)->at ? -1 : 1;
	return *a < *b ? -1 : 1;
}

int policy_trial(const struct rules *rules, const struct policy_test *tests, unsigned count,
		 time_t now, policy_failed failed, void *data, unsigned *ret_failed,
		 struct error *error)
{
	_cleanup_(trial_done) struct trial trial = {
		.rules = rules, .tests = tests, .failed = failed, .data = data};
	_cleanup_(freep) const struct policy_test **order = calloc(count + 1, sizeof(void *));
	int r = order ? make_intervals(&trial, FILTER_RULES, count) : -ENOMEM;
	if (r == 0)
		r = make_intervals(&trial, FILTER_INBOUND, count);
	for (unsigned i = 0; r == 0 && i < count; i++)
		order[i] = &tests[i];
	if (r == 0 && count)
		qsort(order, count, sizeof(void *), compare_times);
	for (unsigned i = 0; r == 0 && i < count; i++) {
		if (i == 0 || order[i]->at != order[i - 1]->at) {
			trial.filter = filter_free(trial.filter);
			r = policy_compile(rules, order[i]->at ? order[i]->at : now, &trial.filter,
					   error);
			if (r < 0)
				return r;
		}
		r = run_test(&trial, order[i]);
	}
	if (r < 0)
		return error_set(error, -r, "out of memory");
	*ret_failed = trial.failures;
	return 0;
}
