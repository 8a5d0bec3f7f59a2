// SPDX-License-Identifier: Apache-2.0

#include "tun/route.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/rcu.h"
#include "tun/lpm.h"
#include "tun/session.h"

// One of a session. Of those with one prefix, that with the lowest metric is first, and leads there.
struct route {
	struct session *session;
	struct route *behind;  // of the same prefix
	struct route *sibling; // of the same session
	size_t at;	       // among all
	unsigned metric;
	struct prefix prefix;
	bool leaves; // unless it turns out before the end of the call that it stays
};

struct routes {
	struct lpm *table; // to sessions; the first route of a prefix is what this file keeps there
	struct route **all;
	size_t count;
	size_t capacity;
	_Atomic(struct lpm *) kept; // apart: it changes with the configuration
};

struct routes *routes_new(void)
{
	_cleanup_(routes_freep) struct routes *routes = calloc(1, sizeof(*routes));
	if (!routes)
		return NULL;
	routes->table = lpm_new(0);
	return routes->table ? take(routes) : NULL;
}

struct routes *routes_free(struct routes *routes)
{
	if (!routes)
		return NULL;
	for (size_t i = 0; i < routes->count; i++) {
		routes->all[i]->session->routes = NULL;
		free(routes->all[i]);
	}
	free(routes->all);
	lpm_free(routes->table);
	lpm_free(atomic_load(&routes->kept));
	free(routes);
	return NULL;
}

static struct route *first_of(const struct routes *routes, const struct prefix *prefix)
{
	struct prefix masked = prefix_masked(prefix);
	return lpm_own(routes->table, &masked);
}

struct session *routes_owner(const struct routes *routes, const struct prefix *prefix)
{
	const struct route *first = first_of(routes, prefix);
	return first ? first->session : NULL;
}

// --- those that are not in use yet, or not any more

static void spare_free(struct route *spare)
{
	while (spare) {
		struct route *route = spare;
		spare = route->sibling;
		free(route);
	}
}

static int spare_new(size_t count, struct route **ret)
{
	struct route *spare = NULL;
	for (size_t i = 0; i < count; i++) {
		struct route *route = calloc(1, sizeof(*route));
		if (!route) {
			spare_free(spare);
			return -ENOMEM;
		}
		route->sibling = spare;
		spare = route;
	}
	*ret = spare;
	return 0;
}

static struct route *spare_take(struct route **spare)
{
	struct route *route = *spare;
	*spare = route->sibling;
	return route;
}

// --- into the table, and out of it

static int reserve(struct routes *routes, size_t more)
{
	if (lpm_reserve(routes->table, more) < 0)
		return -ENOMEM;
	if (routes->count + more <= routes->capacity)
		return 0;
	size_t capacity = (routes->count + more) * 2;
	struct route **all = reallocarray(routes->all, capacity, sizeof(struct route *));
	if (!all)
		return -ENOMEM;
	routes->all = all;
	routes->capacity = capacity;
	return 0;
}

// NULL: nobody has the prefix any more.
static void set_first(struct routes *routes, const struct prefix *prefix, struct route *first)
{
	lpm_set(routes->table, prefix, first ? first->session : NULL, first);
}

// The session has another prefix. Takes the route, for which there is room.
static void insert(struct routes *routes, struct route *route, const struct prefix *prefix,
		   struct session *session, unsigned metric)
{
	struct route *before = first_of(routes, prefix);
	*route = (struct route){
		.session = session,
		.sibling = session->routes,
		.at = routes->count,
		.metric = metric,
		.prefix = prefix_masked(prefix),
	};
	session->routes = route;
	routes->all[routes->count++] = route;
	if (!before || before->metric > metric) {
		route->behind = before;
		set_first(routes, &route->prefix, route);
		return;
	}
	while (before->behind && before->behind->metric <= metric)
		before = before->behind;
	route->behind = before->behind;
	before->behind = route;
}

static void detach(struct routes *routes, struct route *route)
{
	struct route *before = first_of(routes, &route->prefix);
	struct route *last = routes->all[--routes->count];
	routes->all[route->at] = last;
	last->at = route->at;
	if (before == route) {
		set_first(routes, &route->prefix, route->behind);
		return;
	}
	while (before->behind != route)
		before = before->behind;
	before->behind = route->behind;
}

static void all_leave(const struct session *session)
{
	for (struct route *route = session->routes; route; route = route->sibling)
		route->leaves = true;
}

// Those that leave. What came in their place is seen by all readers before they go.
static void sweep(struct routes *routes, struct session *session)
{
	struct route **at = &session->routes;
	while (*at && !(*at)->leaves)
		at = &(*at)->sibling;
	if (!*at)
		return;
	rcu_wait();
	while (*at) {
		struct route *route = *at;
		if (!route->leaves) {
			at = &route->sibling;
			continue;
		}
		*at = route->sibling;
		detach(routes, route);
		free(route);
	}
	rcu_wait();
}

// --- what sessions have

int routes_add(struct routes *routes, const struct prefix *prefixes, unsigned count,
	       struct session *session)
{
	struct route *spare;
	for (unsigned i = 0; i < count; i++) {
		const struct session *owner = routes_owner(routes, &prefixes[i]);
		if (owner && owner != session)
			return -EEXIST;
	}
	if (reserve(routes, count) < 0 || spare_new(count, &spare) < 0)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++)
		if (!routes_owner(routes, &prefixes[i]))
			insert(routes, spare_take(&spare), &prefixes[i], session, 0);
	spare_free(spare);
	return 0;
}

void routes_remove(struct routes *routes, struct session *session, const struct prefix *keep,
		   unsigned keep_count)
{
	all_leave(session);
	for (unsigned i = 0; i < keep_count; i++)
		for (struct route *route = first_of(routes, &keep[i]); route; route = route->behind)
			if (route->session == session)
				route->leaves = false;
	sweep(routes, session);
}

// Whether somebody else has one of the prefixes with the same metric.
static bool clashes(const struct routes *routes, const struct session *session,
		    const struct route_list *list)
{
	for (unsigned i = 0; i < list->count; i++) {
		const struct route *route = first_of(routes, &list->prefixes[i]);
		while (route && (route->session == session || route->metric != list->metric))
			route = route->behind;
		if (route)
			return true;
	}
	return false;
}

// Whether the session has the prefix, of a list before or with this metric: then that one stays.
static bool stays(const struct routes *routes, const struct prefix *prefix,
		  const struct session *session, unsigned metric)
{
	struct route *same = NULL;
	for (struct route *route = first_of(routes, prefix); route; route = route->behind) {
		if (route->session != session)
			continue;
		if (!route->leaves)
			return true;
		if (route->metric == metric)
			same = route;
	}
	if (same)
		same->leaves = false;
	return same;
}

int routes_set(struct routes *routes, struct session *session, const struct route_list *lists,
	       unsigned list_count)
{
	struct route *spare;
	size_t count = 0;
	for (unsigned i = 0; i < list_count; i++) {
		if (clashes(routes, session, &lists[i]))
			return -EEXIST;
		count += lists[i].count;
	}
	if (reserve(routes, count) < 0 || spare_new(count, &spare) < 0)
		return -ENOMEM;
	all_leave(session);
	for (unsigned i = 0; i < list_count; i++)
		for (unsigned n = 0; n < lists[i].count; n++) {
			const struct prefix *prefix = &lists[i].prefixes[n];
			if (!stays(routes, prefix, session, lists[i].metric))
				insert(routes, spare_take(&spare), prefix, session,
				       lists[i].metric);
		}
	spare_free(spare);
	sweep(routes, session);
	return 0;
}

int routes_keep(struct routes *routes, const struct prefix *prefixes, size_t count)
{
	struct lpm *kept = lpm_new(count);
	if (!kept)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct prefix prefix = prefix_masked(&prefixes[i]);
		lpm_add(kept, &prefix, routes);
	}
	struct lpm *old = atomic_exchange(&routes->kept, kept);
	rcu_wait();
	lpm_free(old);
	return 0;
}

size_t routes_count(const struct routes *routes)
{
	return routes->count;
}

bool routes_at(const struct routes *routes, size_t position, struct prefix *ret,
	       struct session **ret_session)
{
	if (position >= routes->count)
		return false;
	*ret = routes->all[position]->prefix;
	*ret_session = routes->all[position]->session;
	return true;
}

static bool is_kept(const struct routes *routes, const struct addr *addr, unsigned length)
{
	unsigned kept;
	return lpm_find_length(atomic_load_explicit(&routes->kept, memory_order_acquire), addr,
			       &kept) &&
	       kept > length;
}

struct session *route_lookup(const struct routes *routes, const struct addr *addr)
{
	unsigned length;
	struct session *session = lpm_find_length(routes->table, addr, &length);
	bool keeps = session && session->initiator && is_kept(routes, addr, length);
	return keeps ? NULL : session;
}
