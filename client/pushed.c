// SPDX-License-Identifier: Apache-2.0

#include "client/pushed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "client/apply.h"
#include "client/claim.h"
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

// Whether somebody wrote down that the gateway may have a part of what is claimed.
static bool concedes(const struct pushed *pushed, const struct prefix *claim,
		     const struct prefix *route)
{
	for (unsigned i = 0; i < pushed->accept_count; i++)
		if (prefix_covers(&pushed->accept[i], route) &&
		    prefix_covers(claim, &pushed->accept[i]))
			return true;
	return false;
}

static bool usable(const struct pushed *pushed, const struct session *session,
		   const struct prefix *route, struct pushed_refusal *ret)
{
	const struct session *owner = routes_owner(dataplane_routes(pushed->dataplane), route);
	const struct prefix *claim = pushed->claims ? claims_around(pushed->claims, route) : NULL;
	*ret = (struct pushed_refusal){.route = *route, .why = PUSHED_NOT_ACCEPTED};
	if (!accepts(pushed, route))
		return false;
	ret->why = PUSHED_CLAIMED;
	if (claim && !concedes(pushed, claim, route)) {
		ret->claim = *claim;
		return false;
	}
	ret->why = PUSHED_TAKEN;
	return !owner || owner == session;
}

const char *pushed_words(const struct pushed_refusal *refusal, char text[PUSHED_TEXT_MAX])
{
	char claim[PREFIX_TEXT_MAX];
	const char *words = "";
	switch (refusal->why) {
	case PUSHED_NOT_ACCEPTED:
		words = "not accepted (setting accept)";
		break;
	case PUSHED_TAKEN:
		words = "another session's already";
		break;
	case PUSHED_CLAIMED:
		snprintf(text, PUSHED_TEXT_MAX,
			 "within %s, which belongs to this gateway or a peer of it",
			 prefix_text(&refusal->claim, claim));
		return text;
	}
	snprintf(text, PUSHED_TEXT_MAX, "%s", words);
	return text;
}

static int compare_refusals(const void *a, const void *b)
{
	const struct pushed_refusal *x = a, *y = b;
	return prefix_compare(&x->route, &y->route);
}

static bool is_known(const struct pushed *pushed, const struct pushed_refusal *refusal)
{
	const struct pushed_refusal *before =
		pushed->refused_count ? bsearch(refusal, pushed->refused, pushed->refused_count,
						sizeof(*refusal), compare_refusals)
				      : NULL;
	return before && before->why == refusal->why;
}

static void tell(const struct pushed *pushed, const struct pushed_refusal *refusal)
{
	enum log_level level =
		refusal->why == PUSHED_NOT_ACCEPTED ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING;
	char route[PREFIX_TEXT_MAX], words[PUSHED_TEXT_MAX];
	log_limited(level, "link %s: route %s is not taken: %s", pushed->link,
		    prefix_text(&refusal->route, route), pushed_words(refusal, words));
}

// Takes the list; what is new in it is said.
static void set_refused(struct pushed *pushed, struct pushed_refusal *refused, unsigned count)
{
	qsort(refused, count, sizeof(*refused), compare_refusals);
	for (unsigned i = 0; i < count; i++)
		if (!is_known(pushed, &refused[i]))
			tell(pushed, &refused[i]);
	free(pushed->refused);
	pushed->refused = refused;
	pushed->refused_count = count;
}

// Of those that are offered.
static int set_routes(struct pushed *pushed, struct session *session)
{
	struct routes *table = dataplane_routes(pushed->dataplane);
	_cleanup_(freep) struct prefix *taken = calloc(pushed->offered_count + 1, sizeof(*taken));
	_cleanup_(freep) struct pushed_refusal *refused =
		calloc(pushed->offered_count + 1, sizeof(*refused));
	unsigned taken_count = 0, refused_count = 0;
	if (!taken || !refused)
		return -ENOMEM;
	for (unsigned i = 0; i < pushed->offered_count; i++) {
		const struct prefix *route = &pushed->offered[i];
		if (usable(pushed, session, route, &refused[refused_count]))
			taken[taken_count++] = *route;
		else
			refused_count++;
	}
	routes_remove(table, session, taken, taken_count);
	int r = routes_add(table, taken, taken_count, session);
	if (r < 0)
		return r;
	set_refused(pushed, take(refused), refused_count);
	free(pushed->routes);
	pushed->routes = take(taken);
	pushed->route_count = taken_count;
	return 0;
}

static int set_offered(struct pushed *pushed, const struct prefix *routes, unsigned count)
{
	struct prefix *offered = calloc(count + 1, sizeof(*offered));
	if (!offered)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++)
		offered[i] = prefix_masked(&routes[i]);
	free(pushed->offered);
	pushed->offered = offered;
	pushed->offered_count = count;
	return 0;
}

static bool has_address(const struct pushed *pushed, const struct addr *addr)
{
	for (unsigned i = 0; i < pushed->address_count; i++)
		if (addr_equal(&pushed->addresses[i].addr, addr))
			return true;
	return apply_has_address(pushed->apply, addr);
}

static int judge_claim(const struct pushed *pushed, const struct prefix *address,
		       struct error *error)
{
	struct prefix alone = prefix_of(&address->addr);
	const struct prefix *claim =
		pushed->claims ? claims_of_peers(pushed->claims, &alone) : NULL;
	char text[PREFIX_TEXT_MAX];
	if (!claim || concedes(pushed, claim, &alone))
		return 0;
	return error_set(error, EPROTO,
			 "the gateway pushed the address %s, which belongs to this node's "
			 "own gateway or a peer of it",
			 prefix_text(address, text));
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
	int r = judge_claim(pushed, address, error);
	if (r < 0)
		return r;
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

// On this host, what is in the data plane.
static int enforce(struct pushed *pushed, struct error *error)
{
	int r = apply_set(pushed->apply, pushed->link, pushed->addresses, pushed->address_count,
			  pushed->routes, pushed->route_count, error);
	if (r == 0 &&
	    dns_set(pushed->dns, pushed->link, &pushed->more, leads_everywhere(pushed)) < 0)
		r = error_set(error, ENOMEM, "out of memory");
	return r;
}

int pushed_set(struct pushed *pushed, struct session *session, const struct message_config *config,
	       struct error *error)
{
	int r = judge(pushed, config, error);
	if (r < 0)
		return r;
	r = set_offered(pushed, config->routes, config->route_count);
	if (r == 0)
		r = set_routes(pushed, session);
	if (r < 0)
		return error_set(error, -r, "cannot take the routes: %s", strerror(-r));
	memcpy(pushed->addresses, config->addresses, sizeof(pushed->addresses));
	pushed->address_count = config->address_count;
	pushed->more = config->push;
	session_set_mtu(session, config->mtu < pushed->mtu ? config->mtu : pushed->mtu, clock_ms());
	r = set_mtu(pushed, config->mtu, error);
	return r < 0 ? r : enforce(pushed, error);
}

int pushed_judge(struct pushed *pushed, struct session *session, struct error *error)
{
	for (unsigned i = 0; i < pushed->address_count; i++) {
		int r = judge_claim(pushed, &pushed->addresses[i], error);
		if (r < 0)
			return r;
	}
	if (pushed->offered_count == 0)
		return 0;
	int r = set_routes(pushed, session);
	if (r < 0)
		return error_set(error, -r, "cannot judge the routes again: %s", strerror(-r));
	return enforce(pushed, error);
}

void pushed_clear(struct pushed *pushed)
{
	dns_clear(pushed->dns, pushed->link);
	apply_clear(pushed->apply, pushed->link);
	set_mtu(pushed, pushed->mtu, NULL);
	free(pushed->offered);
	free(pushed->routes);
	free(pushed->refused);
	pushed->offered = pushed->routes = NULL;
	pushed->refused = NULL;
	pushed->offered_count = pushed->route_count = pushed->refused_count = 0;
	pushed->address_count = 0;
	pushed->more = (struct message_push){0};
}
