// SPDX-License-Identifier: Apache-2.0

#include "tun/rule.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pki/identity.h"

const struct rule *rules_of(const struct rules *rules, enum filter_program program,
			    unsigned *ret_count)
{
	*ret_count = program == FILTER_RULES ? rules->rule_count : rules->inbound_count;
	return program == FILTER_RULES ? rules->rules : rules->inbound;
}

int rules_order(const struct rules *rules, enum filter_program program,
		const bool *const active[FILTER_PROGRAMS], struct rule_order *ret)
{
	const bool *holds = active ? active[program] : NULL;
	struct rule_order order = {0};
	unsigned count;
	const struct rule *list = rules_of(rules, program, &count);
	order.rules = calloc((size_t)count + 1, sizeof(struct rule *));
	if (!order.rules)
		return -ENOMEM;
	for (unsigned pass = 0; pass < 2; pass++)
		for (unsigned i = 0; i < count; i++)
			if (list[i].deny == (pass == 0) && (!holds || holds[i]))
				order.rules[order.count++] = &list[i];
	*ret = order;
	return 0;
}

void rule_order_done(struct rule_order *order)
{
	free(order->rules);
	*order = (struct rule_order){0};
}

static bool has_unit(const struct filter_peer *peer, const char *unit)
{
	for (unsigned i = 0; i < peer->unit_count; i++)
		if (strcmp(peer->units[i], unit) == 0)
			return true;
	return false;
}

bool rule_peer_matches(const struct rule_peer *pattern, const struct filter_peer *peer)
{
	if (pattern->hardware && !peer->hardware)
		return false;
	if (pattern->issuer && (!peer->issuer || strcmp(pattern->issuer, peer->issuer) != 0))
		return false;
	if (pattern->unit && !has_unit(peer, pattern->unit))
		return false;
	return !pattern->identity || identity_match(pattern->identity, peer->identity);
}

bool rule_service_matches(const struct rule_service *service, uint8_t protocol, uint16_t port)
{
	if (service->any_protocol)
		return true;
	// Protocol 0 is one (hop-by-hop options); as the second it says that there is none.
	if (service->protocols[0] != protocol &&
	    (service->protocols[1] == 0 || service->protocols[1] != protocol))
		return false;
	return service->first <= port && port <= service->last;
}

static bool group_matches(const struct rule_group *group, const struct filter_peer *peer,
			  unsigned *ret)
{
	for (*ret = 0; *ret < group->peer_count; ++*ret)
		if (rule_peer_matches(&group->peers[*ret], peer))
			return true;
	return false;
}

static bool net_matches(const struct rule_net *net, const struct addr *addr, unsigned *ret)
{
	for (*ret = 0; *ret < net->prefix_count; ++*ret)
		if (prefix_contains(&net->prefixes[*ret], addr))
			return true;
	return false;
}

bool rule_side_matches(const struct rules *rules, const struct rule_side *side,
		       const struct filter_peer *peer, const struct addr *addr,
		       struct rule_word *ret)
{
	static const struct rule_word none = {false, RULE_NONE, RULE_NONE, RULE_NONE, RULE_NONE};
	struct rule_word word = none;
	bool found = word.any = side->any;
	for (unsigned i = 0; !found && peer && i < side->group_count; i++) {
		word.group = side->groups[i];
		found = group_matches(&rules->groups[word.group], peer, &word.peer);
	}
	if (!found)
		word = none;
	for (unsigned i = 0; !found && i < side->net_count; i++) {
		word.net = side->nets[i];
		found = net_matches(&rules->nets[word.net], addr, &word.prefix);
	}
	if (found && ret)
		*ret = word;
	return found;
}

static bool rule_matches(const struct rules *rules, const struct rule *rule,
			 const struct rule_question *question, struct rule_why *ret)
{
	if (!rule_side_matches(rules, &rule->from, question->from.peer, question->from.addr,
			       &ret->from) ||
	    !rule_side_matches(rules, &rule->to, question->to.peer, question->to.addr, &ret->to))
		return false;
	for (ret->service = 0; ret->service < rule->service_count; ret->service++)
		if (rule_service_matches(&rule->services[ret->service], question->protocol,
					 question->port))
			return true;
	return false;
}

struct filter_verdict rule_verdict(const struct rule *rule, const struct rule *list)
{
	return (struct filter_verdict){
		.allow = !rule->deny,
		.reject = rule->deny && rule->reject,
		.log = rule->log,
		.own = rule->own,
		.rule = (uint32_t)(rule - list),
	};
}

void rules_judge(const struct rules *rules, const bool *const active[FILTER_PROGRAMS],
		 const struct rule_question *question, struct filter_verdict *ret,
		 struct rule_why *ret_why)
{
	const bool *holds = active ? active[question->program] : NULL;
	unsigned count;
	const struct rule *list = rules_of(rules, question->program, &count);
	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < count; i++) {
			const struct rule *rule = &list[i];
			struct rule_why why;
			if (rule->deny != (pass == 0) || (holds && !holds[i]) ||
			    (rule->own && question->beyond) ||
			    !rule_matches(rules, rule, question, &why))
				continue;
			*ret = rule_verdict(rule, list);
			if (ret_why)
				*ret_why = why;
			return;
		}
	}
	*ret = (struct filter_verdict){.reject = rules->reject, .rule = FILTER_NO_RULE};
}
