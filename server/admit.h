// SPDX-License-Identifier: Apache-2.0
// What a verified identity gets from this gateway: whether it is admitted, its addresses, the networks behind it, the routes
// that are pushed to it.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/addr.h"
#include "tun/message.h"

struct error;
struct leases;

// What the configuration says of one identity.
struct admit_peer {
	const char *identity;
	const struct prefix *addresses; // fixed ones, full length
	unsigned address_count;
	const struct prefix *networks; // site prefixes behind it
	unsigned network_count;
};

// Borrowed by those who keep it: the configuration outlives them.
struct admit_options {
	const char *const *patterns; // identities that are admitted
	unsigned pattern_count;
	const struct prefix *pools;
	unsigned pool_count;
	const struct prefix *routes; // networks behind the gateway
	unsigned route_count;
	const struct admit_peer *peers;
	unsigned peer_count;
};

// What a session holds.
struct grant {
	struct prefix addresses[MESSAGE_ADDRESSES_MAX];
	unsigned address_count;
	const struct admit_peer *peer; // networks behind it; NULL: none
};

// What its peer is told to send here: made anew whenever it is told, because thousands of sessions would hold the same.
struct grant_routes {
	struct prefix prefixes[MESSAGE_ROUTES_MAX];
	unsigned count;
};

#define GRANT_DIGEST_SIZE 32u

// Opens the database of leases, or, where it is open already, lets it follow these options: pools, and addresses that are fixed. On
// failure nothing changed. As leases_open() and leases_reload().
int admit_open_leases(const struct admit_options *options, const char *path, struct leases **leases,
		      struct error *error);

bool admit_allows(const struct admit_options *options, const char *identity);
// -EACCES not admitted, -ENOSPC no address or too many routes.
int admit_grant(const struct admit_options *options, struct leases *leases, const char *identity,
		time_t now, struct grant *ret, struct grant_routes *ret_routes,
		struct error *error);
// Equal exactly for equal addresses and routes (SHA-256). -ENOMEM.
int grant_digest(const struct grant *grant, const struct grant_routes *routes,
		 uint8_t ret[static GRANT_DIGEST_SIZE]);
