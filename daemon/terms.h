// SPDX-License-Identifier: Apache-2.0
// What the configuration says of whom, as the gateway wants it: peers, profiles, pools, what is announced to all.
#pragma once

#include "base/cleanup.h"
#include "server/admit.h"
#include "server/lease.h"

struct config;

struct terms {
	struct admit_peer *peers;
	unsigned peer_count;
	struct prefix pools[LEASE_POOLS_MAX]; // all of them
	unsigned pool_count;
	struct profile *profiles;
	struct rule_group *groups; // of all profiles
	struct rule_peer *words;   // for those that are a pattern
	unsigned group_count;
	struct profile common;
	struct announce *announce;
};

// Borrows the configuration until terms_free(). Returns a new object; NULL: out of memory. What cannot be announced is said in the log.
struct terms *terms_new(const struct config *config);
struct terms *terms_free(struct terms *terms); // takes NULL, returns NULL
DEFINE_CLEANUP(struct terms *, terms_free);
