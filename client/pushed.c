// SPDX-License-Identifier: Apache-2.0

#include "client/pushed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "client/apply.h"
#include "client/dns.h"
#include "tun/dataplane.h"
#include "tun/host.h"
#include "tun/session.h"

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

static bool has_address(const struct pushed *pushed, const struct addr *addr)
{
	for (unsigned i = 0; i < pushed->address_count; i++)
		if (addr_equal(&pushed->addresses[i].addr, addr))
			return true;
	return apply_has_address(pushed->apply, addr);
}

static int judge_address(const struct pushed *pushed, const struct message_config *config,
			 unsigned position, struct error *error)
{
	const struct prefix *address = &config->addresses[position];
	char text[PREFIX_TEXT_MAX];
	prefix_text(address, text);
	if (!addr_assignable(&address->addr))
		return error_set(error, EPROTO,
				 "the gateway pushed the address %s, which no node may own", text);
	for (unsigned i = 0; i < position; i++)
		if (addr_equal(&address->addr, &config->addresses[i].addr))
			return error_set(error, EPROTO, "the gateway pushed the address %s twice",
					 text);
	if (!has_address(pushed, &address->addr) && host_has_address(pushed->host, &address->addr))
		return error_set(error, EPROTO,
				 "the gateway pushed the address %s, which another interface of "
				 "this host has",
				 text);
	return 0;
}

// Name servers were judged with the message.
static int judge(const struct pushed *pushed, const struct message_config *config,
		 struct error *error)
{
	char text[PREFIX_TEXT_MAX];
	for (unsigned i = 0; i < config->address_count; i++) {
		int r = judge_address(pushed, config, i, error);
		if (r < 0)
			return r;
	}
	for (unsigned i = 0; i < config->route_count; i++)
		if (!prefix_routable(&config->routes[i]))
			return error_set(error, EPROTO,
					 "the gateway pushed the route %s, where nobody is",
					 prefix_text(&config->routes[i], text));
	return 0;
}

// Larger packets would be cut or refused one by one; the session's own limit holds in any case.
static int set_mtu(struct pushed *pushed, unsigned mtu, struct error *error)
{
	bool less = mtu < pushed->mtu;
	if (!less && !pushed->lowered)
		return 0;
	int r = host_set_mtu(pushed->host, less ? mtu : pushed->mtu, error);
	if (r == 0)
		pushed->lowered = less;
	return r;
}

static bool leads_everywhere(const struct pushed *pushed)
{
	for (unsigned i = 0; i < pushed->route_count; i++)
		if (pushed->routes[i].length == 0)
			return true;
	return false;
}

int pushed_set(struct pushed *pushed, struct session *session, const struct message_config *config,
	       struct error *error)
{
	int r = judge(pushed, config, error);
	if (r < 0)
		return r;
	r = set_routes(pushed, session, config->routes, config->route_count);
	if (r < 0)
		return error_set(error, -r, "cannot take the routes: %s", strerror(-r));
	memcpy(pushed->addresses, config->addresses, sizeof(pushed->addresses));
	pushed->address_count = config->address_count;
	pushed->more = config->push;
	session_set_mtu(session, config->mtu < pushed->mtu ? config->mtu : pushed->mtu, clock_ms());
	r = set_mtu(pushed, config->mtu, error);
	if (r == 0)
		r = apply_set(pushed->apply, pushed->link, pushed->addresses, pushed->address_count,
			      pushed->routes, pushed->route_count, error);
	if (r == 0 &&
	    dns_set(pushed->dns, pushed->link, &config->push, leads_everywhere(pushed)) < 0)
		r = error_set(error, ENOMEM, "out of memory");
	return r;
}

void pushed_clear(struct pushed *pushed)
{
	dns_clear(pushed->dns, pushed->link);
	apply_clear(pushed->apply, pushed->link);
	set_mtu(pushed, pushed->mtu, NULL);
	free(pushed->routes);
	pushed->routes = NULL;
	pushed->route_count = 0;
	pushed->address_count = 0;
	pushed->more = (struct message_push){0};
}
