// SPDX-License-Identifier: Apache-2.0
// What a verified identity gets from this gateway: whether it is admitted, its addresses, the networks behind it, the routes
// that are pushed to it.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/addr.h"
#include "server/announce.h"
#include "server/profile.h"
#include "tun/message.h"
#include "tun/translate.h"

struct error;
struct leases;

// What the configuration says of one identity.
struct admit_peer {
	const char *identity;
	const struct prefix *addresses; // fixed ones, full length
	unsigned address_count;
	const struct prefix *networks; // site prefixes behind it, sorted as by prefix_compare()
	unsigned network_count;
	unsigned metric; // of these: where another site has the same, the lower one has it
	const struct translation *translations;
	unsigned translation_count;
};

// Borrowed by those who keep it: the configuration outlives them.
struct admit_options {
	const char *const *patterns; // identities that are admitted
	unsigned pattern_count;
	const struct prefix *pools; // those that a profile alone has stand last
	unsigned pool_count;
	const struct profile *profiles;
	unsigned profile_count;
	struct profile common;	     // for all that no profile decides; no routes
	const struct prefix *routes; // networks behind the gateway
	unsigned route_count;
	const struct admit_peer *peers; // sorted by identity
	unsigned peer_count;
	const struct announce *announce; // what is pushed to all of that
};

// What a session holds.
struct grant {
	struct prefix addresses[MESSAGE_ADDRESSES_MAX];
	unsigned address_count;
	const struct admit_peer *peer; // networks behind it; NULL: none
	unsigned mtu;		       // at most; 0: no limit
	uint64_t rate;		       // bits per second in each direction; 0: no limit
};

// What its peer is told to send here: made anew whenever it is told, because thousands of sessions would hold the same.
struct grant_routes {
	struct prefix prefixes[MESSAGE_ROUTES_MAX];
	unsigned count;
	struct message_push push;
};

#define GRANT_DIGEST_SIZE 32u

// What other options would make of a session.
enum grant_change {
	GRANT_SAME,
	GRANT_TOLD, // it goes on, and its peer is told of other routes, name servers, sizes or rates
	GRANT_MOVED, // it goes on with other addresses
	GRANT_ENDED, // its identity is not admitted any more
};

struct grant_difference {
	enum grant_change change;
	unsigned gained, lost; // networks behind it
};

// Opens the database of leases, or, where it is open already, lets it follow these options: pools, and addresses that are fixed. On
// failure nothing changed. As leases_open() and leases_reload().
int admit_open_leases(const struct admit_options *options, const char *path, struct leases **leases,
		      struct error *error);

// What the configuration says of the identity; NULL: nothing.
const struct admit_peer *admit_find(const struct admit_options *options, const char *identity);
bool admit_allows(const struct admit_options *options, const char *identity);
// -EACCES not admitted, -ENOSPC no address.
int admit_grant(const struct admit_options *options, struct leases *leases,
		const struct filter_peer *peer, time_t now, struct grant *ret,
		struct grant_routes *ret_routes, struct error *error);
// Equal exactly for equal addresses and routes (SHA-256). -ENOMEM.
int grant_digest(const struct grant *grant, const struct grant_routes *routes,
		 uint8_t ret[static GRANT_DIGEST_SIZE]);
// Changes nothing. `told`: the digest of what the peer was told last.
void admit_compare(const struct admit_options *options, const struct filter_peer *peer,
		   const struct grant *grant, const uint8_t told[static GRANT_DIGEST_SIZE],
		   struct grant_difference *ret);
