// SPDX-License-Identifier: Apache-2.0
// What the configuration says about addresses: pools to give from, and addresses that are fixed. Made whole, checked, and not
// changed afterwards, but for the count and the list of leases that each pool carries for lease.c.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "server/lease.h"

struct error;
struct table;

#define POOL_FIRST 2u // offset of the first address to give: 0 is the network, 1 the gateway

struct pool {
	struct prefix prefix;
	uint64_t count;	   // addresses to give, from POOL_FIRST on
	uint64_t capacity; // leases at one time: without the fixed ones, at most LEASE_COUNT_MAX
	uint64_t used;
	struct cds_list_head idle; // leases, least recently used first
};

struct fixed {
	char *identity;
	struct prefix *addresses;
	unsigned count;
};

struct plan {
	struct pool pools[LEASE_POOLS_MAX]; // without overlap
	unsigned pool_count;
	struct fixed *fixed;
	unsigned fixed_count;
	struct table *by_identity; // -> struct fixed
	struct table *by_address;  // struct addr -> struct fixed
};

// Copies the options. Returns a new plan. -EINVAL with the reason: a fixed address twice, or one that no peer may have.
int plan_new(const struct lease_options *options, struct plan **ret, struct error *error);
struct plan *plan_free(struct plan *plan); // takes NULL, returns NULL; the leases are the caller's
DEFINE_CLEANUP(struct plan *, plan_free);

// The pool that holds the address; NULL: none.
struct pool *plan_pool(struct plan *plan, const struct addr *address);
// Whether the pool gives this address of its prefix to anybody.
bool pool_gives(const struct pool *pool, const struct addr *address);
// Whether the identity has fixed addresses of this family, so that pools of the family give it none.
bool plan_fixes(const struct plan *plan, const char *identity, int family);
