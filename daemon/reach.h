// SPDX-License-Identifier: Apache-2.0
// What one policy lets pass that another does not, and the other way round, as JSON: for `mutun policy diff` and for the plan of a
// reload. A change is
//   {"program": "rules" or "inbound", "from", "to", "gained", "lost"}   in words; services, "tcp/22, udp/53", or ""
#pragma once

#include <stdbool.h>
#include <time.h>
#include <jansson.h>

struct rule_net;
struct rules;

struct reach {
	json_t *changes; // an array of some of them; NULL: nothing was compared
	unsigned count;	 // of all
	bool cut;	 // it was too much to look at all: there may be more
};

// Of both programs, with the rules that hold at `at`, on a node that has these addresses (NULL: not known); the first `most` changes are kept. Any thread (a job): fractions of a second, or
// some seconds (server/policy_diff.h). -ENOMEM.
int reach_compare(const struct rules *old, const struct rules *new, time_t at,
		  const struct rule_net *own, unsigned most, struct reach *ret);
void reach_done(struct reach *reach);
// On standard output, a line for what is gained and one for what is lost.
void reach_print(const json_t *change);
