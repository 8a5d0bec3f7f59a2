// SPDX-License-Identifier: Apache-2.0

#include "server/profile.h"

#include <stdbool.h>

static bool matches(const struct profile *profile, const struct filter_peer *peer)
{
	for (unsigned i = 0; i < profile->group_count; i++)
		for (unsigned j = 0; j < profile->groups[i].peer_count; j++)
			if (rule_peer_matches(&profile->groups[i].peers[j], peer))
				return true;
	return false;
}

static void fill(struct profile *profile, const struct profile *from)
{
	if (!profile->pool_count) {
		profile->pools = from->pools;
		profile->pool_count = from->pool_count;
	}
	if (!profile->route_count) {
		profile->routes = from->routes;
		profile->route_count = from->route_count;
	}
	// Servers without their domains would be asked about those of others.
	if (!profile->server_count && !profile->domain_count) {
		profile->servers = from->servers;
		profile->server_count = from->server_count;
		profile->domains = from->domains;
		profile->domain_count = from->domain_count;
	}
	if (!profile->mtu)
		profile->mtu = from->mtu;
	if (!profile->rate)
		profile->rate = from->rate;
}

struct profile profile_choose(const struct profile *profiles, unsigned count,
			      const struct profile *common, const struct filter_peer *peer)
{
	struct profile profile = {0};
	for (unsigned i = 0; i < count; i++)
		if (matches(&profiles[i], peer))
			fill(&profile, &profiles[i]);
	fill(&profile, common);
	return profile;
}
