// SPDX-License-Identifier: Apache-2.0
// The policy of this node, from configuration to what judges its packets: made into a filter, published, and made again when hours
// begin or end, a rule expires, or the clock was set. Theory of operation: a filter is made on a thread of its own (base/job.h), and
// only published here.
#pragma once

#include <stdbool.h>
#include <time.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "tun/filter.h"

struct config;
struct dataplane;
struct error;
struct policy_role;
struct rule;

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

// Makes the filter of a configuration, to be adopted or dropped by the next call. What judges stays as it is. A few milliseconds for
// 10,000 rules.
int policy_role_prepare(struct policy_role *role, const struct config *config, struct error *error);
// From now on what was prepared judges. Keeps a reference of `config`, the same as before. Where memory is short it is tried again,
// and what judged before does until then.
void policy_role_adopt(struct policy_role *role, struct config *config);
// The wall clock was set.
void policy_role_clock_stepped(struct policy_role *role);
// A rule of the policy in force, by its position in the program; NULL: none, or another generation of the filter was meant.
const struct rule *policy_role_rule(const struct policy_role *role, enum filter_program program,
				    uint32_t rule, uint32_t generation);
struct policy_status policy_role_status(const struct policy_role *role);
