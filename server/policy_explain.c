// SPDX-License-Identifier: Apache-2.0

#include "server/policy_explain.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "server/policy.h"

static bool has_service(const struct rule *rule, const struct rule_question *question)
{
	for (unsigned i = 0; i < rule->service_count; i++)
		if (rule_service_matches(&rule->services[i], question->protocol, question->port))
			return true;
	return false;
}

// The number of things that do not match; `ret` gets the last one.
static unsigned misses(const struct rules *rules, const struct rule *rule, bool active,
		       const struct rule_question *question, enum policy_miss *ret)
{
	const bool matches[] = {
		[MISS_FROM] = rule_side_matches(rules, &rule->from, question->from.peer,
						question->from.addr, NULL),
		[MISS_TO] = !(rule->own && question->beyond) &&
			    rule_side_matches(rules, &rule->to, question->to.peer,
					      question->to.addr, NULL),
		[MISS_SERVICE] = has_service(rule, question),
		[MISS_TIME] = active,
	};
	unsigned count = 0;
	for (unsigned i = 0; i <= MISS_TIME; i++) {
		if (matches[i])
			continue;
		*ret = (enum policy_miss)i;
		count++;
	}
	return count;
}

static void find_near(const struct rules *rules, const bool *active,
		      const struct rule_question *question, struct policy_explanation *ret)
{
	unsigned count;
	const struct rule *list = rules_of(rules, question->program, &count);
	for (unsigned i = 0; i < count && ret->near_count < POLICY_NEAR_MAX; i++) {
		enum policy_miss miss;
		if (list[i].deny || misses(rules, &list[i], active[i], question, &miss) != 1)
			continue;
		ret->near[ret->near_count].rule = i;
		ret->near[ret->near_count++].miss = miss;
	}
}

int policy_explain(const struct rules *rules, time_t now, const struct rule_question *question,
		   struct policy_explanation *ret)
{
	unsigned count;
	const struct rule *list = rules_of(rules, question->program, &count);
	_cleanup_(freep) bool *active = calloc(count + 1, sizeof(bool));
	const bool *lists[FILTER_PROGRAMS] = {active, active};
	struct policy_explanation explanation = {0};
	if (!active)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++)
		active[i] = policy_active(&list[i], now);
	rules_judge(rules, lists, question, &explanation.verdict, &explanation.why);
	if (!explanation.verdict.allow)
		find_near(rules, active, question, &explanation);
	explanation.next = explanation.verdict;
	if (explanation.verdict.rule != FILTER_NO_RULE) {
		active[explanation.verdict.rule] = false;
		rules_judge(rules, lists, question, &explanation.next, NULL);
	}
	*ret = explanation;
	return 0;
}
