// SPDX-License-Identifier: Apache-2.0
// What identities get instead of what all get: of the profiles that match, the first that sets something decides that.
#pragma once

#include <stdint.h>

#include "tun/rule.h"

// Borrowed by those who keep it: the configuration outlives them. What is zero is not set.
struct profile {
	const struct rule_group *groups; // whom it is for: any of them
	unsigned group_count;
	const struct prefix *pools;
	unsigned pool_count;
	const struct prefix *routes; // pushed
	unsigned route_count;
	const struct prefix *servers; // of the DNS, full length
	unsigned server_count;
	const char *const *domains;
	unsigned domain_count;
	unsigned mtu;
	uint64_t rate; // bits per second in each direction
};

// What the peer gets: of `profiles` in their order, then of `common`, which says what all get. Its `groups` say nothing.
struct profile profile_choose(const struct profile *profiles, unsigned count,
			      const struct profile *common, const struct filter_peer *peer);
