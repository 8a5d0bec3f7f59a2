// SPDX-License-Identifier: Apache-2.0
// Policies and questions out of bytes: random ones for tests/unit/test_filter.c, found ones for tests/fuzz/fuzz_policy.c. Few
// identities, networks and ports, so that they meet.
#pragma once

#include "base/buffer.h"
#include "tun/filter.h"
#include "tun/rule.h"

#define POLICY_GROUPS	24u
#define POLICY_NETS	24u
#define POLICY_RULES	400u // of both programs
#define POLICY_PEERS	14u
#define POLICY_EACH_MAX 4u // of everything that something else has several of

struct policy_fixture {
	struct rules rules;
	struct rule_group groups[POLICY_GROUPS];
	struct rule_peer peers[POLICY_GROUPS][POLICY_EACH_MAX];
	struct rule_net nets[POLICY_NETS];
	struct prefix prefixes[POLICY_NETS][POLICY_EACH_MAX];
	struct rule list[POLICY_RULES];
	unsigned words[POLICY_RULES][4][POLICY_EACH_MAX];
	struct rule_service services[POLICY_RULES][POLICY_EACH_MAX];
	bool holds[POLICY_RULES];
	const bool *active[FILTER_PROGRAMS];
};

// Bytes that are missing are zero.
void policy_fixture_fill(struct policy_fixture *fixture, struct reader *reader);
const struct filter_peer *policy_fixture_peer(unsigned number); // 0..POLICY_PEERS-1
void policy_fixture_question(struct reader *reader, struct addr addrs[2],
			     struct rule_question *ret);
// Asks the filter and the rules. Returns what differs, in words; NULL: nothing.
const char *policy_fixture_differ(const struct policy_fixture *fixture, struct filter *filter,
				  const struct rule_question *question, struct filter_verdict *ret);
