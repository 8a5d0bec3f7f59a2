// SPDX-License-Identifier: Apache-2.0

#include "client/pushed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "client/apply.h"
#include "tun/dataplane.h"
#include "tun/host.h"

static bool accepts(const struct pushed *pushed, const struct prefix *route)
{
	for (unsigned i = 0; i < pushed->accept_count; i++)
		if (prefix_covers(&pushed->accept[i], route))
			return true;
	return pushed->accept_count == 0;
}

static bool usable(const struct pushed *pushed, const struct session *session,
		   const struct prefix *route)
{
	char text[PREFIX_TEXT_MAX];
	const struct session *owner = routes_owner(dataplane_routes(pushed->dataplane), route);
	if (!accepts(pushed, route)) {
		log_info("link %s: route %s is not accepted (setting accept)", pushed->link,
			 prefix_text(route, text));
		return false;
	}
	if (owner && owner != session) {
		log_warning("link %s: route %s is another session's already", pushed->link,
			    prefix_text(route, text));
		return false;
	}
	return true;
}

static int set_routes(struct pushed *pushed, struct session *session, const struct prefix *routes,
		      unsigned count)
{
	struct routes *table = dataplane_routes(pushed->dataplane);
	struct prefix *taken = calloc(count + 1, sizeof(*taken));
	unsigned taken_count = 0;
	if (!taken)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++) {
		struct prefix route = prefix_masked(&routes[i]);
		if (usable(pushed, session, &route))
			taken[taken_count++] = route;
	}
	routes_remove(table, session, taken, taken_count);
	int r = routes_add(table, taken, taken_count, session);
	if (r < 0) {
		free(taken);
		return r;
	}
	free(pushed->routes);
	pushed->routes = taken;
	pushed->route_count = taken_count;
	return 0;
}

static int judge_addresses(const struct message_config *config, struct error *error)
{
	char text[PREFIX_TEXT_MAX];
	for (unsigned i = 0; i < config->address_count; i++)
		if (!addr_assignable(&config->addresses[i].addr))
			return error_set(error, EPROTO,
					 "the gateway pushed the address %s, which no node may own",
					 prefix_text(&config->addresses[i], text));
	return 0;
}

int pushed_set(struct pushed *pushed, struct session *session, const struct message_config *config,
	       struct error *error)
{
	int r = judge_addresses(config, error);
	if (r < 0)
		return r;
	r = set_routes(pushed, session, config->routes, config->route_count);
	if (r < 0)
		return error_set(error, -r, "cannot take the routes: %s", strerror(-r));
	memcpy(pushed->addresses, config->addresses, sizeof(pushed->addresses));
	pushed->address_count = config->address_count;
	if (config->mtu < pushed->mtu)
		r = host_set_mtu(pushed->host, config->mtu, error);
	if (r < 0)
		return r;
	return apply_set(pushed->apply, pushed->link, pushed->addresses, pushed->address_count,
			 pushed->routes, pushed->route_count, error);
}

void pushed_clear(struct pushed *pushed)
{
	apply_clear(pushed->apply, pushed->link);
	free(pushed->routes);
	pushed->routes = NULL;
	pushed->route_count = 0;
	pushed->address_count = 0;
}
