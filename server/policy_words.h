// SPDX-License-Identifier: Apache-2.0
// Parts of a policy as people write them.
#pragma once

#include <stddef.h>

#include "tun/rule.h"

#define POLICY_WORD_MAX 256 // what is longer is cut

// "spiffe://corp.example/laptop/*", "{ spiffe://..., unit Build, key in hardware }". Returns `text`.
const char *policy_peer_text(const struct rule_peer *peer, char text[POLICY_WORD_MAX]);
// "group:engineers"; without a name, its only entry. Likewise "net:staging", "10.20.0.0/16". Each returns `text`.
const char *policy_group_text(const struct rules *rules, unsigned group,
			      char text[POLICY_WORD_MAX]);
const char *policy_net_text(const struct rules *rules, unsigned net, char text[POLICY_WORD_MAX]);
// "eng to staging (policy.conf:34)", or the place alone. Returns `text`.
const char *policy_rule_text(const struct rule *rule, char text[POLICY_WORD_MAX]);
