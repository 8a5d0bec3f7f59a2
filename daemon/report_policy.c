// SPDX-License-Identifier: Apache-2.0

#include "daemon/report_policy.h"

#include <stdio.h>

#include "daemon/config.h"
#include "daemon/engine.h"
#include "daemon/policy_role.h"

#define DIGEST_SHOWN 12
#define WORDS_MAX    128

json_t *report_policy(const struct engine *engine)
{
	const struct config *config = engine_config(engine);
	struct policy_status status = policy_role_status(engine_policy(engine));
	char words[WORDS_MAX], digest[DIGEST_SHOWN + 1];
	snprintf(digest, sizeof(digest), "%s", status.digest);
	if (status.none)
		snprintf(words, sizeof(words), "no rules: nothing passes this gateway");
	else if (config->gateway.enabled)
		snprintf(words, sizeof(words), "%u rules, %u inbound, digest %s", status.rules,
			 status.inbound, digest);
	else
		snprintf(words, sizeof(words), "%u inbound rules, digest %s", status.inbound,
			 digest);
	return json_pack("{s:s,s:i,s:i,s:s,s:o}", "words", words, "rules", (int)status.rules,
			 "inbound", (int)status.inbound, "digest", status.digest, "next_change",
			 status.next_change ? json_integer(status.next_change) : json_null());
}
