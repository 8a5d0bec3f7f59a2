// SPDX-License-Identifier: Apache-2.0
// What the configuration says of whom, as the gateway wants it: peers, profiles, pools, what is announced to all.
#pragma once

#include "base/cleanup.h"
#include "server/admit.h"
#include "server/lease.h"

struct config;

// What is whose, as the gateway wants it.
struct estate {
	struct prefix addresses[LEASE_POOLS_MAX]; // its own
	unsigned address_count;
	struct prefix *peers; // pools, networks and fixed addresses of peers, sorted
	unsigned peer_count;
	struct prefix *behind; // networks behind it
	unsigned behind_count;
};

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
	struct estate estate;
};

// Borrows the configuration until terms_free(). Returns a new object; NULL: out of memory. Takes its time where there are thousands of
// networks; any thread may.
struct terms *terms_new(const struct config *config);
struct terms *terms_free(struct terms *terms); // takes NULL, returns NULL
DEFINE_CLEANUP(struct terms *, terms_free);
