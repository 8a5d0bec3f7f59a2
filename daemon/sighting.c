// SPDX-License-Identifier: Apache-2.0

#include "daemon/sighting.h"

#include <stdio.h>

#include "daemon/engine.h"
#include "daemon/policy_role.h"
#include "daemon/tunnel.h"
#include "tun/dataplane.h"
#include "tun/guard.h"
#include "tun/rule.h"
#include "tun/target.h"

static const char *identity_of(const struct guard *guard, unsigned subject)
{
	const struct subject *found = subject ? subject_at(guard->subjects, subject) : NULL;
	return found ? found->identity : NULL;
}

struct sighting sighting_of(const struct note *note, const struct engine *engine)
{
	const struct guard *guard = dataplane_guard(engine_tunnel(engine)->dataplane);
	const struct rule *rule = policy_role_rule(engine_policy(engine), note->program, note->rule,
						   note->generation);
	return (struct sighting){
		.note = note,
		.from = identity_of(guard, note->key.from_subject),
		.to = identity_of(guard, note->key.to_subject),
		.rule = rule && rule->name ? rule->name : "",
		.place = rule ? rule->place : "",
		.count = 1 + note->repeated,
	};
}

json_t *sighting_json(const struct sighting *sighting)
{
	const struct note *note = sighting->note;
	char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX];
	char protocol[TARGET_TEXT_MAX], target[TARGET_TEXT_MAX];
	return json_pack("{s:s*,s:s,s:s*,s:s,s:s,s:i,s:s,s:s,s:s,s:s}", "from", sighting->from,
			 "from_address", addr_text(&note->key.from, from), "to", sighting->to,
			 "to_address", addr_text(&note->key.to, to), "protocol",
			 target_protocol_text(note->key.protocol, protocol), "port",
			 (int)note->service, "target",
			 target_text(note->key.protocol, &note->key.to, note->service, target),
			 "rule", sighting->rule, "place", sighting->place, "reason",
			 drop_name((enum drop)note->drop));
}

void sighting_refusal(const struct sighting *sighting, struct refusal *ret)
{
	const struct note *note = sighting->note;
	*ret = (struct refusal){
		.from = note->key.from,
		.to = note->key.to,
		.protocol = note->key.protocol,
		.port = note->service,
		.count = sighting->count,
	};
	snprintf(ret->rule, sizeof(ret->rule), "%s", sighting->rule);
	snprintf(ret->place, sizeof(ret->place), "%s", sighting->place);
}
