// SPDX-License-Identifier: Apache-2.0

#include "tun/route.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/rcu.h"
#include "tun/lpm.h"
#include "tun/session.h"

// Of several with one prefix the first is in the snapshot: those with lower metrics stand before them.
struct entry {
	struct prefix prefix;
	struct session *session;
	unsigned metric;
};

struct routes {
	_Atomic(struct lpm *) snapshot;
	struct entry *entries;
	size_t count;
	size_t capacity;
	_Atomic(struct lpm *) kept; // apart: each session that comes or goes makes a new snapshot
};

struct routes *routes_new(void)
{
	return calloc(1, sizeof(struct routes));
}

struct routes *routes_free(struct routes *routes)
{
	if (!routes)
		return NULL;
	lpm_free(atomic_load(&routes->snapshot));
	free(routes->entries);
	lpm_free(atomic_load(&routes->kept));
	free(routes);
	return NULL;
}

struct session *routes_owner(const struct routes *routes, const struct prefix *prefix)
{
	return lpm_exact(atomic_load(&routes->snapshot), prefix);
}

// Takes the table.
static void publish(_Atomic(struct lpm *) *place, struct lpm *table)
{
	struct lpm *old = atomic_exchange(place, table);
	rcu_wait();
	lpm_free(old);
}

// Of the first `count` entries, with room for more. NULL: out of memory.
static struct lpm *snapshot_new(const struct routes *routes, size_t count, size_t more)
{
	struct lpm *snapshot = lpm_new(count + more);
	for (size_t i = 0; snapshot && i < count; i++)
		lpm_add(snapshot, &routes->entries[i].prefix, routes->entries[i].session);
	return snapshot;
}

static int reserve(struct routes *routes, size_t more)
{
	if (routes->count + more <= routes->capacity)
		return 0;
	size_t capacity = (routes->count + more) * 2;
	struct entry *entries = reallocarray(routes->entries, capacity, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	routes->entries = entries;
	routes->capacity = capacity;
	return 0;
}

int routes_add(struct routes *routes, const struct prefix *prefixes, unsigned count,
	       struct session *session)
{
	int r = reserve(routes, count);
	_cleanup_(lpm_freep) struct lpm *snapshot = snapshot_new(routes, routes->count, count);
	if (r < 0 || !snapshot)
		return -ENOMEM;
	size_t after = routes->count;
	for (unsigned i = 0; i < count; i++) {
		struct prefix prefix = prefix_masked(&prefixes[i]);
		bool listed = lpm_exact(snapshot, &prefix) != NULL;
		if (lpm_add(snapshot, &prefix, session) != session)
			return -EEXIST;
		if (!listed)
			routes->entries[after++] =
				(struct entry){.prefix = prefix, .session = session};
	}
	routes->count = after;
	publish(&routes->snapshot, take(snapshot));
	return 0;
}

// `set`, which may be missing for want of memory, says what the list says.
static bool kept(const struct prefix *prefix, const struct lpm *set, const struct prefix *keep,
		 unsigned keep_count)
{
	if (set)
		return lpm_exact(set, prefix) != NULL;
	for (unsigned i = 0; i < keep_count; i++) {
		struct prefix masked = prefix_masked(&keep[i]);
		if (prefix_equal(prefix, &masked))
			return true;
	}
	return false;
}

static struct lpm *set_new(const struct prefix *prefixes, unsigned count)
{
	struct lpm *set = lpm_new(count);
	for (unsigned i = 0; set && i < count; i++) {
		struct prefix masked = prefix_masked(&prefixes[i]);
		lpm_add(set, &masked, set);
	}
	return set;
}

void routes_remove(struct routes *routes, const struct session *session, const struct prefix *keep,
		   unsigned keep_count)
{
	_cleanup_(lpm_freep) struct lpm *set = set_new(keep, keep_count);
	size_t left = 0;
	for (size_t i = 0; i < routes->count; i++) {
		struct entry *entry = &routes->entries[i];
		if (entry->session != session || kept(&entry->prefix, set, keep, keep_count))
			routes->entries[left++] = *entry;
	}
	if (left == routes->count)
		return;
	routes->count = left;
	// Without memory for a smaller copy there is none: the old one would lead into a session that is about to go.
	publish(&routes->snapshot, snapshot_new(routes, left, 0));
}

static size_t place_of(const struct entry *entries, size_t count, unsigned metric)
{
	size_t at = 0;
	while (at < count && entries[at].metric <= metric)
		at++;
	return at;
}

// Puts the list in its place among the entries, each prefix once. `set` holds them afterwards.
static size_t insert_list(struct entry *entries, size_t count, struct session *session,
			  const struct route_list *list, struct lpm *set)
{
	size_t at = place_of(entries, count, list->metric), more = 0;
	memmove(entries + at + list->count, entries + at, (count - at) * sizeof(*entries));
	for (unsigned i = 0; i < list->count; i++) {
		struct prefix prefix = prefix_masked(&list->prefixes[i]);
		if (lpm_exact(set, &prefix))
			continue;
		lpm_add(set, &prefix, session);
		entries[at + more++] = (struct entry){prefix, session, list->metric};
	}
	memmove(entries + at + more, entries + at + list->count, (count - at) * sizeof(*entries));
	return count + more;
}

// Whether somebody else has one of the prefixes with the same metric.
static bool clashes(const struct entry *entries, size_t count, const struct session *session,
		    const struct route_list *list)
{
	_cleanup_(lpm_freep) struct lpm *set = set_new(list->prefixes, list->count);
	for (size_t i = 0; i < count; i++)
		if (entries[i].session != session && entries[i].metric == list->metric &&
		    kept(&entries[i].prefix, set, list->prefixes, list->count))
			return true;
	return false;
}

static size_t count_all(const struct route_list *lists, unsigned list_count)
{
	size_t count = 0;
	for (unsigned i = 0; i < list_count; i++)
		count += lists[i].count;
	return count;
}

int routes_set(struct routes *routes, struct session *session, const struct route_list *lists,
	       unsigned list_count)
{
	size_t room = routes->count + count_all(lists, list_count), count = 0;
	_cleanup_(freep) struct entry *entries = calloc(room + 1, sizeof(*entries));
	_cleanup_(lpm_freep) struct lpm *set = lpm_new(room);
	_cleanup_(lpm_freep) struct lpm *snapshot = lpm_new(room);
	if (!entries || !set || !snapshot)
		return -ENOMEM;
	for (size_t i = 0; i < routes->count; i++)
		if (routes->entries[i].session != session)
			entries[count++] = routes->entries[i];
	for (unsigned i = 0; i < list_count; i++) {
		if (clashes(entries, count, session, &lists[i]))
			return -EEXIST;
		count = insert_list(entries, count, session, &lists[i], set);
	}
	for (size_t i = 0; i < count; i++)
		lpm_add(snapshot, &entries[i].prefix, entries[i].session);
	struct entry *old = routes->entries;
	routes->entries = take(entries);
	routes->count = count;
	routes->capacity = room + 1;
	free(old);
	publish(&routes->snapshot, take(snapshot));
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
	publish(&routes->kept, kept);
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
	*ret = routes->entries[position].prefix;
	*ret_session = routes->entries[position].session;
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
	struct session *session = lpm_find_length(
		atomic_load_explicit(&routes->snapshot, memory_order_acquire), addr, &length);
	bool keeps = session && session->initiator && is_kept(routes, addr, length);
	return keeps ? NULL : session;
}
