// SPDX-License-Identifier: Apache-2.0

#include "server/policy_words.h"

#include <stdio.h>
#include <string.h>

const char *policy_peer_text(const struct rule_peer *peer, char text[POLICY_WORD_MAX])
{
	if (!peer->issuer && !peer->unit && !peer->hardware)
		snprintf(text, POLICY_WORD_MAX, "%s", peer->identity ? peer->identity : "any peer");
	else
		snprintf(text, POLICY_WORD_MAX, "{ %s%s%s%s%s%s }",
			 peer->identity ? peer->identity : "any peer",
			 peer->issuer ? ", issuer " : "", peer->issuer ? peer->issuer : "",
			 peer->unit ? ", unit " : "", peer->unit ? peer->unit : "",
			 peer->hardware ? ", key in hardware" : "");
	return text;
}

const char *policy_group_text(const struct rules *rules, unsigned group, char text[POLICY_WORD_MAX])
{
	const struct rule_group *named = &rules->groups[group];
	if (!named->name && named->peer_count > 0)
		return policy_peer_text(&named->peers[0], text);
	snprintf(text, POLICY_WORD_MAX, "%s", named->name ? named->name : "nobody");
	return text;
}

const char *policy_net_text(const struct rules *rules, unsigned net, char text[POLICY_WORD_MAX])
{
	const struct rule_net *named = &rules->nets[net];
	if (!named->name && named->prefix_count > 0) {
		prefix_text(&named->prefixes[0], text);
		// A whole address is written without its length.
		if (named->prefixes[0].length == ADDR_BITS(&named->prefixes[0].addr))
			*strchr(text, '/') = '\0';
	} else {
		snprintf(text, POLICY_WORD_MAX, "%s", named->name ? named->name : "nothing");
	}
	return text;
}

const char *policy_rule_text(const struct rule *rule, char text[POLICY_WORD_MAX])
{
	if (rule->name)
		snprintf(text, POLICY_WORD_MAX, "\"%s\" (%s)", rule->name, rule->place);
	else
		snprintf(text, POLICY_WORD_MAX, "%s", rule->place);
	return text;
}
