// SPDX-License-Identifier: Apache-2.0

#include "daemon/config_policy_links.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "daemon/config.h"
#include "daemon/config_read.h"
#include "pki/identity.h"
#include "server/policy_words.h"
#include "tun/rule.h"

#define LOOKED_AT_MAX 10000u // words; of more, nothing is said

struct words {
	struct config_reader *reader;
	const struct rules *rules;
	unsigned looked_at;
};

// The link at whose other end everybody is whom the group may hold; past the last: there is none.
static unsigned link_of(const struct words *words, const struct rule_group *group)
{
	const struct config *config = words->reader->config;
	for (unsigned i = 0; i < config->link_count; i++) {
		bool covers = true;
		for (unsigned j = 0; covers && j < group->peer_count; j++) {
			const char *identity = group->peers[j].identity;
			covers = identity &&
				 identity_pattern_covers(config->links[i].identity, identity);
		}
		if (covers)
			return i;
	}
	return config->link_count;
}

// Whether somebody at the other end of a link may be in the group.
static bool meets_link(const struct words *words, const struct rule_group *group)
{
	const struct config *config = words->reader->config;
	for (unsigned i = 0; i < group->peer_count; i++) {
		const char *identity = group->peers[i].identity;
		bool meets = !identity;
		for (unsigned j = 0; !meets && j < config->link_count; j++)
			meets = identity_patterns_meet(config->links[j].identity, identity);
		if (meets)
			return true;
	}
	return false;
}

static void check_side(struct words *words, enum filter_program program, unsigned rule,
		       const char *part, const struct rule_side *side)
{
	const char *path = program == FILTER_RULES ? "policy.rules" : "policy.inbound";
	const config_setting_t *at = config_read_place(words->reader, path, rule);
	const config_setting_t *place = at ? config_setting_get_member(at, part) : NULL;
	unsigned count = words->reader->config->link_count;
	char word[POLICY_WORD_MAX];
	for (unsigned i = 0; place && i < side->group_count; i++) {
		const struct rule_group *group = &words->rules->groups[side->groups[i]];
		policy_group_text(words->rules, side->groups[i], word);
		if (++words->looked_at > LOOKED_AT_MAX)
			return;
		unsigned link = program == FILTER_RULES ? link_of(words, group) : count;
		if (link < count)
			error_remedy(config_fault(words->reader->warnings, place,
						  "%s is who link \"%s\" leads to, and rules know "
						  "only who dials this node",
						  word, words->reader->config->links[link].name),
				     "name the networks behind the link instead");
		if (program == FILTER_INBOUND && !meets_link(words, group))
			error_remedy(
				config_fault(words->reader->warnings, place,
					     "no link leads to %s, and inbound rules know only "
					     "who is at the other end of a link",
					     word),
				"name the address or network that it sends from");
	}
}

void config_policy_links(struct config_reader *reader)
{
	struct words words = {.reader = reader, .rules = reader->config->policy.model};
	const struct rules *rules = words.rules;
	if (reader->config->link_count == 0)
		return;
	for (unsigned i = 0; i < rules->rule_count; i++) {
		check_side(&words, FILTER_RULES, i, "from", &rules->rules[i].from);
		check_side(&words, FILTER_RULES, i, "to", &rules->rules[i].to);
	}
	for (unsigned i = 0; i < rules->inbound_count; i++)
		check_side(&words, FILTER_INBOUND, i, "from", &rules->inbound[i].from);
}
