// SPDX-License-Identifier: Apache-2.0

#include "server/policy_lint.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "server/policy.h"
#include "server/policy_cover.h"
#include "server/policy_service.h"
#include "server/policy_shadow.h"
#include "server/policy_words.h"

#define ENTRIES_MAX 2000u // of one list that are compared with each other
#define WORDS_MAX   100u  // of one side, and services of one rule, likewise
#define CHANGES_MAX 64u	  // of a rule's hours that are looked at until one holds

struct lint {
	const struct rules *rules;
	time_t now;
	finding_found found;
	void *data;
	bool *used_groups, *used_nets;
};

static void tell(const struct lint *lint, const struct finding *finding, const char *remedy,
		 const char *format, ...) __attribute__((format(printf, 4, 5)));

static void tell(const struct lint *lint, const struct finding *finding, const char *remedy,
		 const char *format, ...)
{
	struct error error;
	char what[sizeof(error.what)];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	error_set(&error, EINVAL, "%s", what);
	error_remedy(&error, "%s", remedy);
	lint->found(finding, &error, lint->data);
}

// Whether the second of two words says nothing that the first does not; of two that say the same, the later one.
static bool is_pointless(bool covers, bool covered, unsigned first, unsigned second)
{
	return first != second && covers && (!covered || first < second);
}

// --- groups and networks

static void check_group(const struct lint *lint, unsigned position)
{
	const struct rule_group *group = &lint->rules->groups[position];
	const struct finding finding = {
		.refused = true, .place = FINDING_GROUP, .position = position};
	unsigned count = group->peer_count < ENTRIES_MAX ? group->peer_count : ENTRIES_MAX;
	char wide[POLICY_WORD_MAX], narrow[POLICY_WORD_MAX];
	for (unsigned i = 0; i < count; i++)
		for (unsigned j = 0; j < count; j++) {
			const struct rule_peer *a = &group->peers[j], *b = &group->peers[i];
			if (!is_pointless(policy_peer_covers(a, b), policy_peer_covers(b, a), j, i))
				continue;
			tell(lint, &finding, "remove one of them", "%s makes %s pointless in %s",
			     policy_peer_text(a, wide), policy_peer_text(b, narrow), group->name);
			break;
		}
}

static int compare_prefixes(const void *left, const void *right)
{
	const struct prefix *a = left, *b = right;
	int order = (int)a->addr.family - (int)b->addr.family;
	if (order == 0)
		order = memcmp(a->addr.bytes, b->addr.bytes, sizeof(a->addr.bytes));
	return order ? order : (int)a->length - (int)b->length;
}

// Prefixes nest or are disjoint: sorted, each stands right behind one that holds it, or behind others that this one holds.
static int check_net(const struct lint *lint, unsigned position)
{
	const struct rule_net *net = &lint->rules->nets[position];
	const struct finding finding = {
		.refused = true, .place = FINDING_NET, .position = position};
	_cleanup_(freep) struct prefix *sorted = calloc(net->prefix_count + 1, sizeof(*sorted));
	const struct prefix *holder = NULL;
	char wide[PREFIX_TEXT_MAX], narrow[PREFIX_TEXT_MAX];
	if (!sorted)
		return -ENOMEM;
	if (net->prefix_count)
		memcpy(sorted, net->prefixes, net->prefix_count * sizeof(*sorted));
	qsort(sorted, net->prefix_count, sizeof(*sorted), compare_prefixes);
	for (unsigned i = 0; i < net->prefix_count; i++) {
		if (!holder || !prefix_covers(holder, &sorted[i]))
			holder = &sorted[i];
		else
			tell(lint, &finding, "remove one of them", "%s makes %s pointless in %s",
			     prefix_text(holder, wide), prefix_text(&sorted[i], narrow), net->name);
	}
	return 0;
}

// --- rules

static void check_groups(const struct lint *lint, const struct finding *finding,
			 const struct rule_side *side)
{
	const struct rules *rules = lint->rules;
	char wide[POLICY_WORD_MAX], narrow[POLICY_WORD_MAX];
	for (unsigned i = 0; i < side->group_count; i++)
		for (unsigned j = 0; j < side->group_count; j++) {
			const struct rule_group *a = &rules->groups[side->groups[j]];
			const struct rule_group *b = &rules->groups[side->groups[i]];
			if (is_pointless(policy_group_covers(a, b), policy_group_covers(b, a), j,
					 i))
				tell(lint, finding, "remove one of them", "%s makes %s pointless",
				     policy_group_text(rules, side->groups[j], wide),
				     policy_group_text(rules, side->groups[i], narrow));
		}
}

static void check_nets(const struct lint *lint, const struct finding *finding,
		       const struct rule_side *side)
{
	const struct rules *rules = lint->rules;
	char wide[POLICY_WORD_MAX], narrow[POLICY_WORD_MAX];
	for (unsigned i = 0; i < side->net_count; i++)
		for (unsigned j = 0; j < side->net_count; j++) {
			const struct rule_net *a = &rules->nets[side->nets[j]];
			const struct rule_net *b = &rules->nets[side->nets[i]];
			if (is_pointless(policy_net_covers(a, b), policy_net_covers(b, a), j, i))
				tell(lint, finding, "remove one of them", "%s makes %s pointless",
				     policy_net_text(rules, side->nets[j], wide),
				     policy_net_text(rules, side->nets[i], narrow));
		}
}

static void check_side(const struct lint *lint, const struct finding *finding,
		       const struct rule_side *side)
{
	for (unsigned i = 0; i < side->group_count; i++)
		lint->used_groups[side->groups[i]] = true;
	for (unsigned i = 0; i < side->net_count; i++)
		lint->used_nets[side->nets[i]] = true;
	if (side->group_count + side->net_count > WORDS_MAX)
		return;
	check_groups(lint, finding, side);
	check_nets(lint, finding, side);
}

// What comes over a link is for an address of this node or behind it: there is no session that it goes on to.
static void check_inbound_to(const struct lint *lint, const struct finding *finding,
			     const struct rule_side *side)
{
	char word[POLICY_WORD_MAX];
	for (unsigned i = 0; i < side->group_count; i++)
		tell(lint, finding, "name addresses or networks, or leave \"to\" out",
		     "%s matches nothing in \"to\" of an inbound rule",
		     policy_group_text(lint->rules, side->groups[i], word));
}

static void check_services(const struct lint *lint, struct finding finding, const struct rule *rule)
{
	char wide[POLICY_SERVICE_TEXT_MAX], narrow[POLICY_SERVICE_TEXT_MAX];
	if (rule->service_count > WORDS_MAX)
		return;
	finding.part = rule->deny ? "deny" : "allow";
	for (unsigned i = 0; i < rule->service_count; i++)
		for (unsigned j = 0; j < rule->service_count; j++) {
			const struct rule_service *a = &rule->services[j], *b = &rule->services[i];
			if (!is_pointless(policy_service_covers(a, b), policy_service_covers(b, a),
					  j, i))
				continue;
			tell(lint, &finding, "remove one of them", "%s makes %s pointless",
			     policy_service_text(a, wide), policy_service_text(b, narrow));
			break;
		}
}

// Whether the rule holds now or will.
static bool ever_holds(const struct rule *rule, time_t now)
{
	const struct rules alone = {.rules = rule, .rule_count = 1};
	for (unsigned i = 0; i < CHANGES_MAX && now != 0; i++) {
		if (policy_active(rule, now))
			return true;
		now = policy_next_change(&alone, now);
	}
	return now != 0;
}

static void check_times(const struct lint *lint, struct finding finding, const struct rule *rule)
{
	finding.refused = false;
	finding.part = "expires";
	if (rule->expires && rule->expires <= lint->now)
		tell(lint, &finding, "remove the rule, or set another date",
		     "the rule has expired");
	else if (rule->expires && rule->hour_count && !ever_holds(rule, lint->now))
		tell(lint, &finding, "set other hours, or a later date",
		     "the rule expires before its hours come again");
}

static void check_rules(const struct lint *lint, enum filter_program program)
{
	unsigned count;
	const struct rule *list = rules_of(lint->rules, program, &count);
	for (unsigned i = 0; i < count; i++) {
		struct finding finding = {
			.refused = true,
			.place = FINDING_RULE,
			.program = program,
			.position = i,
			.part = "from",
		};
		check_side(lint, &finding, &list[i].from);
		finding.part = "to";
		check_side(lint, &finding, &list[i].to);
		if (program == FILTER_INBOUND)
			check_inbound_to(lint, &finding, &list[i].to);
		check_services(lint, finding, &list[i]);
		check_times(lint, finding, &list[i]);
	}
}

// What policy_shadow() finds.
static void on_shadow(const struct shadow *shadow, void *data)
{
	const struct lint *lint = data;
	unsigned count;
	const struct rule *list = rules_of(lint->rules, shadow->program, &count);
	const struct rule *rule = &list[shadow->rule], *by = &list[shadow->by];
	struct finding finding = {
		.refused = shadow->same || (by->deny && !rule->deny),
		.place = FINDING_RULE,
		.program = shadow->program,
		.position = shadow->rule,
	};
	const char *name = by->name ? by->name : "the rule";
	if (shadow->same)
		tell(lint, &finding, "remove one of them", "%s at %s says the same", name,
		     by->place);
	else if (finding.refused)
		tell(lint, &finding, "remove it, or deny less there",
		     "this rule allows nothing: %s at %s denies all of it", name, by->place);
	else
		tell(lint, &finding, "remove it, or put it before the other",
		     "this rule never decides: %s at %s says all of it", name, by->place);
}

// --- names

static void check_unused(const struct lint *lint)
{
	const struct rules *rules = lint->rules;
	struct finding finding = {.unused = true, .place = FINDING_GROUP};
	for (unsigned i = 0; i < rules->group_count; i++) {
		finding.position = i;
		if (rules->groups[i].name && !lint->used_groups[i])
			tell(lint, &finding, "remove it", "no rule uses \"%s\"",
			     rules->groups[i].name);
	}
	finding.place = FINDING_NET;
	for (unsigned i = 0; i < rules->net_count; i++) {
		finding.position = i;
		// "self" is nobody's own.
		if (rules->nets[i].name && strchr(rules->nets[i].name, ':') && !lint->used_nets[i])
			tell(lint, &finding, "remove it", "no rule uses \"%s\"",
			     rules->nets[i].name);
	}
}

static void on_twin(const struct twin *twin, void *data)
{
	const struct lint *lint = data;
	struct finding finding = {
		.place = twin->net ? FINDING_NET : FINDING_GROUP,
		.position = twin->second,
	};
	const struct rules *rules = lint->rules;
	tell(lint, &finding, "keep one of the two", "\"%s\" and \"%s\" are the same",
	     twin->net ? rules->nets[twin->second].name : rules->groups[twin->second].name,
	     twin->net ? rules->nets[twin->first].name : rules->groups[twin->first].name);
}

int policy_lint(const struct rules *rules, time_t now, finding_found found, void *data)
{
	_cleanup_(freep) bool *groups = calloc(rules->group_count + 1, sizeof(bool));
	_cleanup_(freep) bool *nets = calloc(rules->net_count + 1, sizeof(bool));
	struct lint lint = {.rules = rules, .now = now, .found = found, .data = data};
	lint.used_groups = groups;
	lint.used_nets = nets;
	int r = groups && nets ? 0 : -ENOMEM;
	for (unsigned i = 0; r == 0 && i < rules->group_count; i++)
		check_group(&lint, i);
	for (unsigned i = 0; r == 0 && i < rules->net_count; i++)
		r = check_net(&lint, i);
	if (r < 0)
		return r;
	check_rules(&lint, FILTER_RULES);
	check_rules(&lint, FILTER_INBOUND);
	check_unused(&lint);
	r = policy_twins(rules, on_twin, &lint);
	for (unsigned program = 0; r == 0 && program < FILTER_PROGRAMS; program++)
		r = policy_shadows(rules, (enum filter_program)program, on_shadow, &lint);
	return r;
}
