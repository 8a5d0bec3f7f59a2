// SPDX-License-Identifier: Apache-2.0

#include "daemon/config_end.h"

#include <string.h>

#include "base/addr.h"
#include "daemon/config.h"
#include "server/lease.h"
#include "server/policy_trial.h"

static void keep(struct policy_end *end, const struct addr *addr)
{
	struct addr *own = addr->family == AF_INET ? &end->v4 : &end->v6;
	if (addr->family != AF_UNSPEC && own->family == AF_UNSPEC)
		*own = *addr;
}

void config_end_addresses(const struct config *config, struct policy_end *end)
{
	const struct config_gateway *gateway = &config->gateway;
	struct addr addr;
	for (unsigned i = 0; i < gateway->peer_count; i++) {
		const struct config_peer *peer = &gateway->peers[i];
		if (!peer->identity || strcmp(peer->identity, end->identity) != 0)
			continue;
		for (unsigned j = 0; j < peer->address_count; j++)
			keep(end, &peer->addresses[j].addr);
		for (unsigned j = 0; j < peer->network_count; j++)
			if (addr_add(&peer->networks[j].addr, 1, &addr))
				keep(end, &addr);
	}
	for (unsigned i = 0; i < gateway->pool_count; i++)
		if (addr_add(&gateway->pools[i].addr, 2, &addr))
			keep(end, &addr);
}

static bool lies_in(const struct prefix *prefixes, unsigned count, const struct addr *addr)
{
	for (unsigned i = 0; i < count; i++)
		if (prefix_contains(&prefixes[i], addr))
			return true;
	return false;
}

static bool is_first(const struct prefix *pools, unsigned count, const struct addr *addr)
{
	for (unsigned i = 0; i < count; i++) {
		struct prefix own = lease_gateway_address(&pools[i]);
		if (pools[i].addr.family != AF_UNSPEC && addr_equal(&own.addr, addr))
			return true;
	}
	return false;
}

static bool is_peers(const struct config_gateway *gateway, const struct addr *addr)
{
	for (unsigned i = 0; i < gateway->peer_count; i++) {
		const struct config_peer *peer = &gateway->peers[i];
		if (lies_in(peer->addresses, peer->address_count, addr) ||
		    lies_in(peer->networks, peer->network_count, addr))
			return true;
	}
	return false;
}

enum config_own config_end_own(const struct config *config, const struct addr *addr)
{
	const struct config_gateway *gateway = &config->gateway;
	bool other = lies_in(gateway->pools, gateway->pool_count, addr) ||
		     lies_in(gateway->routes, gateway->route_count, addr) ||
		     is_peers(gateway, addr);
	bool own = is_first(gateway->pools, gateway->pool_count, addr);
	for (unsigned i = 0; i < gateway->profile_count; i++) {
		const struct config_profile *profile = &gateway->profiles[i];
		own |= is_first(profile->pools, profile->pool_count, addr);
		other |= lies_in(profile->pools, profile->pool_count, addr);
	}
	if (own)
		return CONFIG_OWN_YES;
	return other || config->link_count == 0 ? CONFIG_OWN_NO : CONFIG_OWN_MAYBE;
}
