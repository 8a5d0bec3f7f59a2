// SPDX-License-Identifier: Apache-2.0
// The policy of this node, from configuration to what judges its packets: made into a filter, published, and made again when hours
// begin or end, a rule expires, or the clock was set. Theory of operation: a filter is made on a thread of its own (base/job.h), gets
// classes for all peers in slices, and is only published then.
#pragma once

#include <stdbool.h>
#include <time.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "server/policy_digest.h"
#include "tun/filter.h"

struct config;
struct dataplane;
struct error;
struct policy_role;
struct rule;
struct rules;

// What judges by some rules, as long as the clock does not change what holds.
struct policy_made {
	struct filter *filter;
	time_t at;   // what holds then
	time_t next; // and until then; 0: for ever
	char digest[POLICY_DIGEST_SIZE];
};

struct policy_status {
	unsigned rules, inbound; // in the configuration
	const char *digest;	 // hexadecimal, borrowed until the next policy_role_adopt()
	time_t next_change;	 // 0: never
	bool none;		 // a gateway that lets nothing pass, because it has no rules
};

// Borrows both. Nothing judges yet. Returns a new object.
int policy_role_new(sd_event *event, struct dataplane *dataplane, struct policy_role **ret,
		    struct error *error);
struct policy_role *policy_role_free(struct policy_role *role); // takes NULL, returns NULL
DEFINE_CLEANUP(struct policy_role *, policy_role_free);

// Any thread (a job): 10,000 rules take milliseconds. -ENOMEM, -E2BIG.
int policy_make(const struct rules *rules, time_t at, struct policy_made *ret, struct error *error);
void policy_made_done(struct policy_made *made);

// Takes what was made, gives it a class for every peer, a few milliseconds at a time, and says when it is `ready` to be adopted, or that
// it cannot be (-ENOMEM). Not before this returns. What judges stays as it is. `ready` NULL: it is adopted next, with classes or without.
void policy_role_prepare(struct policy_role *role, struct policy_made *made,
			 void (*ready)(int r, void *data), void *data);
// It is not wanted any more, ready or not.
void policy_role_drop(struct policy_role *role);
// From now on what was prepared for `config` judges; where it was not ready, it takes longer the more peers there are. Keeps a reference of
// `config`. Where memory is short it is tried again, and what judged before does until then.
void policy_role_adopt(struct policy_role *role, struct config *config);
// The wall clock was set.
void policy_role_clock_stepped(struct policy_role *role);
// A rule of the policy in force, by its position in the program; NULL: none, or another generation of the filter was meant.
const struct rule *policy_role_rule(const struct policy_role *role, enum filter_program program,
				    uint32_t rule, uint32_t generation);
struct policy_status policy_role_status(const struct policy_role *role);
