// SPDX-License-Identifier: Apache-2.0

#include "daemon/config_end.h"

#include <string.h>

#include "base/addr.h"
#include "daemon/config.h"
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
