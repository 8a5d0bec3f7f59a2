// SPDX-License-Identifier: Apache-2.0

#include "daemon/config_policy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/zone.h"
#include "daemon/config.h"
#include "daemon/config_named.h"
#include "daemon/config_names.h"
#include "daemon/config_policy_check.h"
#include "daemon/config_read.h"
#include "daemon/config_trial.h"
#include "daemon/config_value.h"
#include "daemon/setting.h"
#include "server/when.h"

static void written_rules_free(struct config_rule *rules, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct config_rule *rule = &rules[i];
		char **lists[] = {rule->from, rule->to, rule->allow, rule->deny, rule->hours};
		unsigned counts[] = {rule->from_count, rule->to_count, rule->allow_count,
				     rule->deny_count, rule->hour_count};
		for (unsigned j = 0; j < 5; j++) {
			for (unsigned k = 0; k < counts[j]; k++)
				free(lists[j][k]);
			free(lists[j]);
		}
		free(rule->name);
		free(rule->expires);
		free(rule->zone);
	}
	free(rules);
}

static void written_free(struct config_policy *policy)
{
	written_rules_free(policy->rules, policy->rule_count);
	written_rules_free(policy->inbound, policy->inbound_count);
	config_trial_free_written(policy->tests, policy->test_count);
	policy->rules = policy->inbound = NULL;
	policy->tests = NULL;
	policy->rule_count = policy->inbound_count = policy->test_count = 0;
}

void config_policy_done(struct config_policy *policy)
{
	written_free(policy);
	arena_free(policy->arena);
	for (unsigned i = 0; i < policy->zone_count; i++)
		zone_free(policy->zones[i].zone);
	free(policy->zones);
}

static void *no_memory(struct config_reader *reader)
{
	reader->out_of_memory = true;
	return NULL;
}

// --- times

// Each zone is loaded once. No zone: the host's, or it is wrong, which is told.
static struct config_zone find_zone(struct config_reader *reader, const char *name,
				    const config_setting_t *at)
{
	static const struct setting setting = {.type = SETTING_ZONE};
	struct config_policy *policy = &reader->config->policy;
	struct config_zone zone = {0};
	struct error error;
	if (!name)
		return zone;
	for (unsigned i = 0; i < policy->zone_count; i++)
		if (strcmp(policy->zones[i].name, name) == 0)
			return policy->zones[i];
	zone.name = arena_text(policy->arena, name);
	struct config_zone *grown =
		reallocarray(policy->zones, policy->zone_count + 1, sizeof(*grown));
	if (grown)
		policy->zones = grown;
	if (!zone.name || !grown) {
		no_memory(reader);
		return (struct config_zone){0};
	}
	// A zone that is wrong is remembered, so that it is told once.
	if (zone_load(name, &zone.zone, &error) < 0)
		config_value_fault_element(reader, &setting, at, error.what);
	policy->zones[policy->zone_count++] = zone;
	return zone;
}

static void read_hours(struct config_reader *reader, const config_setting_t *array,
		       const struct config_rule *written, struct rule *rule)
{
	static const struct setting setting = {.type = SETTING_HOURS};
	struct rule_hours *hours =
		arena_alloc(reader->config->policy.arena, written->hour_count + 1, sizeof(*hours));
	if (!hours)
		no_memory(reader);
	for (unsigned i = 0; hours && i < written->hour_count; i++) {
		if (!written->hours[i])
			continue;
		if (when_hours(written->hours[i], &hours[rule->hour_count]) == 0)
			rule->hour_count++;
		else
			config_value_fault_element(
				reader, &setting,
				config_setting_get_elem((config_setting_t *)array, i), NULL);
	}
	rule->hours = hours;
}

// --- rules

// Appends a position unless it is there. `list` has room.
static void add_position(unsigned *list, unsigned *count, unsigned position)
{
	for (unsigned i = 0; i < *count; i++)
		if (list[i] == position)
			return;
	list[(*count)++] = position;
}

static void read_side(struct config_reader *reader, struct config_names *names,
		      const config_setting_t *array, struct rule_side *ret)
{
	bool there = array && config_setting_is_array(array);
	unsigned length = there ? (unsigned)config_setting_length(array) : 0;
	unsigned *groups = arena_alloc(reader->config->policy.arena, length + 1, sizeof(*groups));
	unsigned *nets = arena_alloc(reader->config->policy.arena, length + 1, sizeof(*nets));
	if (!groups || !nets) {
		no_memory(reader);
		return;
	}
	struct rule_side side = {.groups = groups, .nets = nets};
	for (unsigned i = 0; i < length; i++) {
		struct config_word word;
		const config_setting_t *at = config_setting_get_elem((config_setting_t *)array, i);
		if (!config_names_word(names, at, &word))
			continue;
		side.any |= word.any;
		if (word.group != RULE_NONE)
			add_position(groups, &side.group_count, word.group);
		if (word.net != RULE_NONE)
			add_position(nets, &side.net_count, word.net);
	}
	config_policy_check_side(reader, array, &side);
	*ret = side;
}

const char *config_policy_place(struct config_reader *reader, const config_setting_t *at)
{
	const char *path = config_source_of(at)->path, *slash = strrchr(path, '/');
	char text[CONFIG_PLACE_MAX];
	snprintf(text, sizeof(text), "%.100s:%u", slash ? slash + 1 : path,
		 config_setting_source_line(at));
	const char *place = arena_text(reader->config->policy.arena, text);
	return place ? place : no_memory(reader);
}

static void read_rule(struct config_reader *reader, struct config_names *names,
		      const config_setting_t *at, const struct config_rule *written,
		      struct rule *ret)
{
	const config_setting_t *to = config_setting_get_member(at, "to");
	const config_setting_t *allow = config_setting_get_member(at, "allow");
	const config_setting_t *deny = config_setting_get_member(at, "deny");
	struct rule rule = {
		.place = config_policy_place(reader, at), .deny = deny, .log = written->log};
	if (written->name && !(rule.name = arena_text(reader->config->policy.arena, written->name)))
		no_memory(reader);
	if (!allow == !deny)
		error_expected(config_fault(reader->errors, at,
					    "a rule with %s \"allow\" %s \"deny\"",
					    allow ? "both" : "neither", allow ? "and" : "nor"),
			       "one of them");
	rule.reject = config_setting_get_member(at, "reject") ? written->reject
							      : reader->config->policy.reject;
	if (!deny && config_setting_get_member(at, "reject"))
		error_remedy(config_fault(reader->errors, config_setting_get_member(at, "reject"),
					  "only a rule with \"deny\" refuses"),
			     "remove it; what no rule allows is refused as policy.refuse says");
	read_side(reader, names, config_setting_get_member(at, "from"), &rule.from);
	if (to)
		read_side(reader, names, to, &rule.to);
	else
		rule.to.any = true;
	rule.services = config_names_services(names, deny ? deny : allow, &rule.service_count);
	const struct config_zone zone =
		find_zone(reader, written->zone, config_setting_get_member(at, "zone"));
	rule.zone = zone.zone;
	rule.zone_name = zone.name;
	read_hours(reader, config_setting_get_member(at, "hours"), written, &rule);
	if (written->expires)
		rule.expires = config_trial_moment(reader, config_setting_get_member(at, "expires"),
						   rule.zone, true);
	if (written->zone && !written->expires && !written->hours)
		error_remedy(config_fault(reader->warnings, config_setting_get_member(at, "zone"),
					  "there is no time in this rule"),
			     "remove it, or set \"hours\" or \"expires\"");
	*ret = rule;
}

// NULL: out of memory.
static const struct rule *read_rules(struct config_reader *reader, struct config_names *names,
				     const char *path, const struct config_rule *written,
				     unsigned count)
{
	struct rule *rules = arena_alloc(reader->config->policy.arena, count + 1, sizeof(*rules));
	if (!rules)
		return no_memory(reader);
	for (unsigned i = 0; i < count; i++) {
		const config_setting_t *at = config_read_place(reader, path, i);
		if (config_setting_is_group(at))
			read_rule(reader, names, at, &written[i], &rules[i]);
	}
	return rules;
}

// What holds for a node that says nothing of what may come in: nobody shall reach what is behind it by that.
static const struct rule default_inbound = {
	.name = "replies, and ping to this node",
	.place = "default",
	.from.any = true,
	.to.any = true,
	.services = (const struct rule_service[]){{.protocols = {IPPROTO_ICMP},
						   .first = ICMP_ECHO << 8,
						   .last = ICMP_ECHO << 8 | UINT8_MAX},
						  {.protocols = {IPPROTO_ICMPV6},
						   .first = ICMP6_ECHO_REQUEST << 8,
						   .last = ICMP6_ECHO_REQUEST << 8 | UINT8_MAX}},
	.service_count = 2,
	.own = true,
};

static bool is_set(const struct config_reader *reader, const char *path)
{
	bool set = false;
	for (unsigned i = 0; i < reader->source_count; i++)
		set |= config_read_find(reader->sources[i], path) != NULL;
	return set;
}

static void build(struct config_reader *reader, struct config_names *names)
{
	struct config_policy *policy = &reader->config->policy;
	struct rules *rules = arena_alloc(policy->arena, 1, sizeof(*rules));
	if (!rules || !config_named_read(reader, names)) {
		no_memory(reader);
		return;
	}
	rules->reject = policy->enabled ? policy->reject : true;
	rules->rules = read_rules(reader, names, "policy.rules", policy->rules, policy->rule_count);
	rules->rule_count = policy->rule_count;
	rules->inbound =
		read_rules(reader, names, "policy.inbound", policy->inbound, policy->inbound_count);
	rules->inbound_count = policy->inbound_count;
	if (!is_set(reader, "policy.inbound")) {
		rules->inbound = &default_inbound;
		rules->inbound_count = 1;
	}
	config_trial_read(reader, names);
	if (reader->out_of_memory || config_names_model(names, rules) < 0) {
		no_memory(reader);
		return;
	}
	policy->model = rules;
	config_names_check_services(names);
	config_policy_check(reader, names);
}

void config_policy_build(struct config_reader *reader)
{
	_cleanup_(config_names_freep) struct config_names *names = NULL;
	reader->config->policy.arena = arena_new();
	if (reader->config->policy.arena)
		names = config_names_new(reader);
	if (names)
		build(reader, names);
	else
		no_memory(reader);
	written_free(&reader->config->policy);
}
