// SPDX-License-Identifier: Apache-2.0
// Which routes lead into the tunnel for everybody: pools, networks behind the gateway, networks of sites. Joined to as few as say
// the same, so that the many networks of a site fit one message; made once for all, and from there for each site, which is not
// told to send here what is behind itself.
#pragma once

#include "base/addr.h"
#include "base/cleanup.h"

struct admit_peer;
struct announce;

struct announce_options { // borrowed until announce_free()
	const struct prefix *pools;
	unsigned pool_count;
	const struct prefix *routes;
	unsigned route_count;
	const struct admit_peer *peers;
	unsigned peer_count;
};

// Where the networks of all sites do not fit `max`, those of the sites with the most are left out. Returns a new object; NULL: out of
// memory.
struct announce *announce_new(const struct announce_options *options, unsigned max);
struct announce *announce_free(struct announce *announce); // takes NULL, returns NULL
DEFINE_CLEANUP(struct announce *, announce_free);

// Number of sites that were left out.
unsigned announce_left_out(const struct announce *announce);
// What `peer` (NULL: none of the list) is told, into `ret` with room for `max`. A prefix that holds what is behind the peer is cut around
// that, and left out where the pieces would be too many. Returns the count.
unsigned announce_to(const struct announce *announce, const struct admit_peer *peer,
		     struct prefix *ret);
// The same of a list of its own instead, of at most 512 prefixes.
unsigned announce_list(const struct prefix *prefixes, unsigned count, const struct admit_peer *peer,
		       struct prefix *ret, unsigned max);
