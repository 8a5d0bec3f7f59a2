// SPDX-License-Identifier: Apache-2.0
// Theory of operation: a rule holds when its `from`, its `to` and one of its services match, each of which can be asked of the question
// alone. So a question is five look-ups, each with a set of rules as its answer: the class of the peer and the address at either side,
// and the service. What is in (peer or address or any of `from`), in (likewise of `to`) and in the service's is what matches; numbers
// are given to denials first, so that the lowest decides.

#include "tun/filter.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "tun/groups.h"
#include "tun/lpm.h"
#include "tun/networks.h"
#include "tun/ports.h"
#include "tun/rule.h"
#include "tun/ruleset.h"
#include "tun/uses.h"

struct filter_class {
	struct uses_sets sets;
	uint32_t key[]; // how many groups, and which, ascending
};

struct program {
	struct filter_verdict *verdicts; // by number
	struct ruleset *any[USES_SIDES];
	struct ports *ports;
};

struct filter {
	uint32_t generation;
	struct filter_verdict none; // no rule
	struct program programs[FILTER_PROGRAMS];
	struct networks *networks;
	_Atomic(struct lpm *) const *own; // NULL: not known

	// For classes; no worker looks at these.
	struct groups *groups;
	struct uses *uses; // of the groups
	struct table *known;
	uint32_t *key; // room for one of all groups

	_Atomic(const struct filter_class *) classes[FILTER_SUBJECTS_MAX]; // by subject
};

static int any_new(const struct rule_order *order, enum uses_side side, struct ruleset **ret)
{
	_cleanup_(freep) uint64_t *bits = calloc(RULESET_WORDS(order->count) + 1, sizeof(*bits));
	if (!bits)
		return -ENOMEM;
	for (unsigned n = 0; n < order->count; n++)
		if (side == USES_FROM ? order->rules[n]->from.any : order->rules[n]->to.any)
			ruleset_bit(bits, n);
	return ruleset_new(bits, RULESET_WORDS(order->count), ret);
}

static int program_init(struct program *program, const struct rule_order *order,
			const struct rule *list)
{
	program->verdicts = calloc((size_t)order->count + 1, sizeof(*program->verdicts));
	program->ports = ports_new(order);
	if (!program->verdicts || !program->ports)
		return -ENOMEM;
	for (unsigned n = 0; n < order->count; n++)
		program->verdicts[n] = rule_verdict(order->rules[n], list);
	int r = any_new(order, USES_FROM, &program->any[USES_FROM]);
	return r < 0 ? r : any_new(order, USES_TO, &program->any[USES_TO]);
}

static void program_done(struct program *program)
{
	free(program->verdicts);
	ports_free(program->ports);
	for (unsigned s = 0; s < USES_SIDES; s++)
		ruleset_free(program->any[s]);
}

static int fill(struct filter *filter, const struct rules *rules,
		const struct rule_order orders[FILTER_PROGRAMS])
{
	unsigned count;
	for (unsigned p = 0; p < FILTER_PROGRAMS; p++) {
		const struct rule *list = rules_of(rules, p, &count);
		int r = program_init(&filter->programs[p], &orders[p], list);
		if (r < 0)
			return r;
	}
	_cleanup_(uses_freep) struct uses *of_nets =
		uses_new(orders, USES_NETS, rules->net_count, NULL);
	if (of_nets)
		filter->networks = networks_new(rules->nets, rules->net_count, of_nets);
	filter->groups = groups_new(rules->groups, rules->group_count);
	if (filter->groups)
		filter->uses = uses_new(orders, USES_GROUPS, rules->group_count,
					groups_same(filter->groups));
	filter->known = table_new();
	filter->key = calloc((size_t)rules->group_count + 1, sizeof(*filter->key));
	bool good =
		filter->networks && filter->uses && filter->groups && filter->known && filter->key;
	return good ? 0 : -ENOMEM;
}

int filter_new(const struct rules *rules, const bool *const active[FILTER_PROGRAMS],
	       struct filter **ret)
{
	_cleanup_(filter_freep) struct filter *filter = NULL;
	struct rule_order orders[FILTER_PROGRAMS] = {{0}};
	int r = 0;
	if (rules->rule_count > FILTER_RULES_MAX || rules->inbound_count > FILTER_RULES_MAX)
		return -E2BIG;
	filter = calloc(1, sizeof(*filter));
	if (!filter)
		return -ENOMEM;
	filter->generation = 1;
	filter->none = (struct filter_verdict){.reject = rules->reject, .rule = FILTER_NO_RULE};
	for (unsigned p = 0; r == 0 && p < FILTER_PROGRAMS; p++)
		r = rules_order(rules, p, active, &orders[p]);
	if (r == 0)
		r = fill(filter, rules, orders);
	for (unsigned p = 0; p < FILTER_PROGRAMS; p++)
		rule_order_done(&orders[p]);
	if (r == 0)
		*ret = take(filter);
	return r;
}

static void class_free(struct filter_class *class)
{
	uses_sets_done(&class->sets);
	free(class);
}

struct filter *filter_free(struct filter *filter)
{
	if (!filter)
		return NULL;
	struct filter_class *class;
	for (size_t cursor = 0; filter->known && (class = table_next(filter->known, &cursor));)
		class_free(class);
	for (unsigned p = 0; p < FILTER_PROGRAMS; p++)
		program_done(&filter->programs[p]);
	networks_free(filter->networks);
	groups_free(filter->groups);
	uses_free(filter->uses);
	table_free(filter->known);
	free(filter->key);
	free(filter);
	return NULL;
}

const struct filter_class *filter_class_of(struct filter *filter, const struct filter_peer *peer)
{
	const uint32_t *groups;
	uint32_t count = groups_of(filter->groups, peer, &groups);
	size_t size = (1 + (size_t)count) * sizeof(uint32_t);
	filter->key[0] = count;
	memcpy(filter->key + 1, groups, size - sizeof(uint32_t));
	struct filter_class *class = table_find(filter->known, filter->key, size);
	if (class)
		return class;
	class = calloc(1, sizeof(*class) + size);
	if (!class)
		return NULL;
	memcpy(class->key, filter->key, size);
	if (uses_of(filter->uses, class->key + 1, count, NULL, &class->sets) < 0 ||
	    table_add(filter->known, class->key, size, class) < 0) {
		class_free(class);
		return NULL;
	}
	return class;
}

void filter_set_class(struct filter *filter, unsigned subject, const struct filter_class *class)
{
	atomic_store_explicit(&filter->classes[subject], class, memory_order_release);
}

void filter_set_own(struct filter *filter, _Atomic(struct lpm *) const *own)
{
	filter->own = own;
}

void filter_follow(struct filter *filter, const struct filter *before)
{
	filter->generation = before ? before->generation + 1 : 1;
}

const struct filter_class *filter_class(const struct filter *filter, unsigned subject)
{
	return atomic_load_explicit(&filter->classes[subject], memory_order_acquire);
}

uint32_t filter_generation(const struct filter *filter)
{
	return filter->generation;
}

static void ask_side(const struct filter *filter, const struct filter_question *question,
		     enum uses_side at, struct ruleset_any *ret)
{
	const struct filter_side *side = at == USES_FROM ? &question->from : &question->to;
	const struct uses_sets *networks = networks_find(filter->networks, side->addr);
	ruleset_any_add(ret, filter->programs[question->program].any[at]);
	if (side->class)
		ruleset_any_add(ret, side->class->sets.of[question->program][at]);
	if (networks)
		ruleset_any_add(ret, networks->of[question->program][at]);
}

static bool is_own(const struct filter *filter, const struct addr *addr)
{
	return !filter->own ||
	       lpm_find(atomic_load_explicit(filter->own, memory_order_acquire), addr);
}

void filter_judge(const struct filter *filter, const struct filter_question *question,
		  struct filter_verdict *ret)
{
	const struct program *program = &filter->programs[question->program];
	struct ruleset_any any[3] = {{.count = 0}, {.count = 0}, {.count = 0}};
	ask_side(filter, question, USES_FROM, &any[0]);
	ask_side(filter, question, USES_TO, &any[1]);
	ports_find(program->ports, question->protocol, question->port, &any[2]);
	uint32_t number = ruleset_first(any, 3);
	*ret = number == RULESET_NONE ? filter->none : program->verdicts[number];
	if (ret->own && !is_own(filter, question->to.addr))
		*ret = filter->none;
}
