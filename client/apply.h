// SPDX-License-Identifier: Apache-2.0
// Makes pushed addresses and routes true on this host, for all links together, and takes them back exactly. Two links may
// push the same address or route; it stays until the last of them lets go.
#pragma once

#include <stdbool.h>

#include "base/addr.h"
#include "base/cleanup.h"

struct apply;
struct error;
struct guard;
struct host;

// Borrows both. The guard is told all addresses that an owner wants, whenever they change: they are this node's own; NULL: nobody is told.
// NULL: out of memory.
struct apply *apply_new(struct host *host, struct guard *guard);
// Takes everything back. Takes NULL, returns NULL.
struct apply *apply_free(struct apply *apply);
DEFINE_CLEANUP(struct apply *, apply_free);

// From now on `owner` (a link's name, copied; or "gateway" for the gateway's own) wants exactly these; copies them. What is
// new is added before what is gone is removed; what stays is not touched. This host prefers the owner's address as the source of what it sends on the owner's routes. On failure the host is as before, as far as
// it lets us.
int apply_set(struct apply *apply, const char *owner, const struct prefix *addresses,
	      unsigned address_count, const struct prefix *routes, unsigned route_count,
	      struct error *error);
// Whether an owner wants this address, whatever its length.
bool apply_has_address(const struct apply *apply, const struct addr *addr);
// Those of all owners: a new array; NULL: out of memory.
struct addr *apply_addresses(const struct apply *apply, unsigned *ret_count);
// As apply_set() with nothing wanted.
void apply_clear(struct apply *apply, const char *owner);
