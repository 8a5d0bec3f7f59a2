// SPDX-License-Identifier: Apache-2.0
// Each owner has a list of what it wants. What several want is made once, and taken back when the last lets go.

#include "client/apply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "tun/guard.h"
#include "tun/host.h"

// Sorted, each once: to look for one is a binary search, also among 100,000 routes.
struct list {
	struct prefix *prefixes;
	unsigned count;
};

struct owner {
	struct owner *next;
	char *name;
	struct list addresses;
	struct list routes;
};

struct apply {
	struct host *host;
	struct guard *guard; // NULL: nobody is told
	struct owner *owners;
};

// One of the two kinds of things that are wanted.
struct kind {
	const struct list *(*list)(const struct owner *owner);
	int (*add)(struct host *host, const struct prefix *prefix, const struct owner *owner,
		   struct error *error);
	int (*remove)(struct host *host, const struct prefix *prefix, struct error *error);
};

static const struct list *list_addresses(const struct owner *owner)
{
	return &owner->addresses;
}

static const struct list *list_routes(const struct owner *owner)
{
	return &owner->routes;
}

// What the owner sends on its routes must come from its own addresses: another link's gateway drops it.
static const struct addr *source_of(const struct owner *owner, uint8_t family)
{
	for (unsigned i = 0; i < owner->addresses.count; i++)
		if (owner->addresses.prefixes[i].addr.family == family)
			return &owner->addresses.prefixes[i].addr;
	return NULL;
}

static int add_address(struct host *host, const struct prefix *prefix, const struct owner *owner,
		       struct error *error)
{
	(void)owner;
	return host_address_add(host, prefix, error);
}

static int add_route(struct host *host, const struct prefix *prefix, const struct owner *owner,
		     struct error *error)
{
	return host_route_add(host, prefix, source_of(owner, prefix->addr.family), error);
}

static const struct kind address_kind = {list_addresses, add_address, host_address_remove};
static const struct kind route_kind = {list_routes, add_route, host_route_remove};

static int compare(const void *a, const void *b)
{
	return prefix_compare(a, b);
}

static bool is_sorted(const struct prefix *prefixes, unsigned count)
{
	unsigned i = 1;
	while (i < count && compare(&prefixes[i - 1], &prefixes[i]) <= 0)
		i++;
	return i >= count;
}

static int list_init(struct list *list, const struct prefix *prefixes, unsigned count)
{
	*list = (struct list){.prefixes = calloc(count + 1u, sizeof(*prefixes))};
	if (!list->prefixes)
		return -ENOMEM;
	if (count == 0)
		return 0;
	memcpy(list->prefixes, prefixes, count * sizeof(*prefixes));
	if (!is_sorted(prefixes, count))
		qsort(list->prefixes, count, sizeof(*prefixes), compare);
	for (unsigned i = 0; i < count; i++)
		if (i == 0 || compare(&list->prefixes[i], &list->prefixes[i - 1]) != 0)
			list->prefixes[list->count++] = list->prefixes[i];
	return 0;
}

static void list_done(struct list *list)
{
	free(list->prefixes);
	*list = (struct list){0};
}

static struct owner *owner_free(struct owner *owner)
{
	if (!owner)
		return NULL;
	list_done(&owner->addresses);
	list_done(&owner->routes);
	free(owner->name);
	free(owner);
	return NULL;
}
DEFINE_CLEANUP(struct owner *, owner_free);

static struct owner *owner_new(const char *name, const struct prefix *addresses,
			       unsigned address_count, const struct prefix *routes,
			       unsigned route_count)
{
	_cleanup_(owner_freep) struct owner *owner = calloc(1, sizeof(*owner));
	if (!owner)
		return NULL;
	owner->name = strdup(name);
	if (!owner->name || list_init(&owner->addresses, addresses, address_count) < 0 ||
	    list_init(&owner->routes, routes, route_count) < 0)
		return NULL;
	return take(owner);
}

static bool list_has(const struct list *list, const struct prefix *prefix)
{
	return list->count &&
	       bsearch(prefix, list->prefixes, list->count, sizeof(*prefix), compare);
}

// The same for one prefix after the other, in order: `at` moves on in the list, NULL for an empty one.
static bool list_follows(const struct list *list, unsigned *at, const struct prefix *prefix)
{
	int order = -1;
	while (list && *at < list->count && (order = compare(&list->prefixes[*at], prefix)) < 0)
		++*at;
	return order == 0;
}

static bool is_wanted(const struct apply *apply, const struct kind *kind,
		      const struct prefix *prefix)
{
	for (const struct owner *owner = apply->owners; owner; owner = owner->next)
		if (list_has(kind->list(owner), prefix))
			return true;
	return false;
}

// The kernel knows an IPv6 address once per interface, whatever its length: with 2001:db8::1/64 goes 2001:db8::1/112.
static int keep_address(struct apply *apply, const struct addr *removed, struct error *error)
{
	for (const struct owner *owner = apply->owners; owner; owner = owner->next)
		for (unsigned i = 0; i < owner->addresses.count; i++) {
			const struct prefix *wanted = &owner->addresses.prefixes[i];
			if (addr_equal(&wanted->addr, removed))
				return host_address_add(apply->host, wanted, error);
		}
	return 0;
}

static int take_back(struct apply *apply, const struct kind *kind, const struct prefix *prefix,
		     struct error *error)
{
	if (is_wanted(apply, kind, prefix))
		return 0;
	int r = kind->remove(apply->host, prefix, error);
	return r == 0 && kind == &address_kind ? keep_address(apply, &prefix->addr, error) : r;
}

static void complain(const struct error *error)
{
	char text[ERROR_TEXT_MAX];
	log_limited(LOG_LEVEL_WARNING, "%s", error_text(error, text, sizeof(text)));
}

// Takes back the first `count` of the list, but what an owner wants.
static void remove_unwanted(struct apply *apply, const struct kind *kind, const struct list *list,
			    unsigned count)
{
	struct error error;
	for (unsigned i = 0; i < count; i++)
		if (take_back(apply, kind, &list->prefixes[i], &error) < 0)
			complain(&error);
}

static struct owner **find_owner(struct apply *apply, const char *name)
{
	struct owner **at = &apply->owners;
	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

// Whether a route that the owner had before comes from another address of its own now.
static bool source_changes(const struct kind *kind, const struct owner *old,
			   const struct owner *owner, const struct prefix *prefix)
{
	if (kind != &route_kind || !old)
		return false;
	const struct addr *before = source_of(old, prefix->addr.family);
	const struct addr *after = source_of(owner, prefix->addr.family);
	return before && after ? !addr_equal(before, after) : before != after;
}

// The first `count` routes get back the source that they had.
static void restore_sources(struct apply *apply, const struct kind *kind, const struct owner *owner,
			    unsigned count)
{
	const struct owner *old = *find_owner(apply, owner->name);
	struct error error;
	for (unsigned i = 0; old && i < count; i++) {
		const struct prefix *prefix = &kind->list(owner)->prefixes[i];
		if (list_has(kind->list(old), prefix) && source_changes(kind, old, owner, prefix) &&
		    kind->add(apply->host, prefix, old, &error) < 0)
			complain(&error);
	}
}

// Makes what the owner wants and nobody has yet. On failure takes back what it made.
static int add_missing(struct apply *apply, const struct kind *kind, const struct owner *owner,
		       struct error *error)
{
	const struct owner *old = *find_owner(apply, owner->name);
	const struct list *list = kind->list(owner), *had = old ? kind->list(old) : NULL;
	unsigned at = 0;
	for (unsigned i = 0; i < list->count; i++) {
		const struct prefix *prefix = &list->prefixes[i];
		if (list_follows(had, &at, prefix) ? !source_changes(kind, old, owner, prefix)
						   : is_wanted(apply, kind, prefix))
			continue;
		int r = kind->add(apply->host, prefix, owner, error);
		if (r == 0)
			continue;
		remove_unwanted(apply, kind, list, i);
		restore_sources(apply, kind, owner, i);
		return r;
	}
	return 0;
}

struct apply *apply_new(struct host *host, struct guard *guard)
{
	struct apply *apply = calloc(1, sizeof(*apply));
	if (!apply)
		return NULL;
	apply->host = host;
	apply->guard = guard;
	return apply;
}

struct apply *apply_free(struct apply *apply)
{
	if (!apply)
		return NULL;
	apply->guard = NULL; // which may be gone
	while (apply->owners)
		apply_clear(apply, apply->owners->name);
	free(apply);
	return NULL;
}

static void remove_missing(struct apply *apply, const struct kind *kind, const struct owner *old,
			   const struct owner *owner)
{
	const struct list *list = kind->list(old), *has = owner ? kind->list(owner) : NULL;
	struct error error;
	unsigned at = 0;
	for (unsigned i = 0; i < list->count; i++)
		if (!list_follows(has, &at, &list->prefixes[i]) &&
		    take_back(apply, kind, &list->prefixes[i], &error) < 0)
			complain(&error);
}

// What the owner, which may be gone, had before and has no more. Routes go before the addresses that packets on them would come from.
static void remove_old(struct apply *apply, const struct owner *old, const struct owner *owner)
{
	if (!old)
		return;
	remove_missing(apply, &route_kind, old, owner);
	remove_missing(apply, &address_kind, old, owner);
}

struct addr *apply_addresses(const struct apply *apply, unsigned *ret_count)
{
	unsigned count = 0;
	for (const struct owner *owner = apply->owners; owner; owner = owner->next)
		count += owner->addresses.count;
	struct addr *addresses = calloc(count + 1u, sizeof(*addresses));
	if (!addresses)
		return NULL;
	count = 0;
	for (const struct owner *owner = apply->owners; owner; owner = owner->next)
		for (unsigned i = 0; i < owner->addresses.count; i++)
			addresses[count++] = owner->addresses.prefixes[i].addr;
	*ret_count = count;
	return addresses;
}

// They are this node's own.
static int tell_guard(const struct apply *apply)
{
	unsigned count;
	if (!apply->guard)
		return 0;
	_cleanup_(freep) struct addr *addresses = apply_addresses(apply, &count);
	return addresses ? guard_set_own(apply->guard, addresses, count) : -ENOMEM;
}

int apply_set(struct apply *apply, const char *name, const struct prefix *addresses,
	      unsigned address_count, const struct prefix *routes, unsigned route_count,
	      struct error *error)
{
	_cleanup_(owner_freep) struct owner *new =
		owner_new(name, addresses, address_count, routes, route_count);
	if (!new)
		return error_set(error, ENOMEM, "out of memory");
	int r = add_missing(apply, &address_kind, new, error);
	if (r < 0)
		return r;
	r = add_missing(apply, &route_kind, new, error);
	if (r < 0) {
		remove_unwanted(apply, &address_kind, &new->addresses, new->addresses.count);
		return r;
	}
	struct owner **at = find_owner(apply, name);
	_cleanup_(owner_freep) struct owner *old = *at;
	new->next = old ? old->next : NULL;
	*at = take(new);
	remove_old(apply, old, *at);
	return tell_guard(apply) < 0 ? error_set(error, ENOMEM, "out of memory") : 0;
}

bool apply_has_address(const struct apply *apply, const struct addr *addr)
{
	for (const struct owner *owner = apply->owners; owner; owner = owner->next)
		for (unsigned i = 0; i < owner->addresses.count; i++)
			if (addr_equal(&owner->addresses.prefixes[i].addr, addr))
				return true;
	return false;
}

void apply_clear(struct apply *apply, const char *name)
{
	struct owner **at = find_owner(apply, name);
	_cleanup_(owner_freep) struct owner *old = *at;
	if (!old)
		return;
	*at = old->next;
	remove_old(apply, old, NULL);
	tell_guard(apply);
}
