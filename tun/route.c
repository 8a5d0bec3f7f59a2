// SPDX-License-Identifier: Apache-2.0
// A hash table of prefixes, asked once per prefix length that is in use, longest first: a typical table has two or three
// lengths, and the cost does not grow with the number of routes.

#include "tun/route.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/rcu.h"

struct entry {
	struct prefix prefix;
	struct session *session;
};

struct snapshot {
	uint8_t lengths[2][130]; // in use, longest first; by family; ends with 255
	size_t mask;
	struct entry slots[]; // open addressing; session NULL: free
};

struct routes {
	_Atomic(struct snapshot *) snapshot;
	struct entry *entries;
	size_t count;
	size_t capacity;
};

#define LENGTHS_END 255u

static unsigned family_slot(uint8_t family)
{
	return family == AF_INET ? 0 : 1;
}

static size_t hash_prefix(const struct prefix *prefix)
{
	uint64_t high;
	uint64_t low;
	memcpy(&high, prefix->addr.bytes, 8);
	memcpy(&low, prefix->addr.bytes + 8, 8);
	uint64_t h = (high ^ prefix->length) * UINT64_C(0x9e3779b97f4a7c15);
	h = (h ^ (h >> 32) ^ low ^ prefix->addr.family) * UINT64_C(0xd6e8feb86659fd93);
	return (size_t)(h ^ (h >> 32));
}

static const struct entry *find_slot(const struct snapshot *snapshot, const struct prefix *prefix)
{
	for (size_t i = hash_prefix(prefix);; i++) {
		const struct entry *slot = &snapshot->slots[i & snapshot->mask];
		if (!slot->session || prefix_equal(&slot->prefix, prefix))
			return slot;
	}
}

static void list_lengths(struct snapshot *snapshot, const struct entry *entries, size_t count)
{
	bool used[2][129] = {{false}};
	for (size_t i = 0; i < count; i++)
		used[family_slot(entries[i].prefix.addr.family)][entries[i].prefix.length] = true;
	for (unsigned family = 0; family < 2; family++) {
		unsigned at = 0;
		for (int length = 128; length >= 0; length--)
			if (used[family][length])
				snapshot->lengths[family][at++] = (uint8_t)length;
		snapshot->lengths[family][at] = LENGTHS_END;
	}
}

static struct snapshot *snapshot_build(const struct entry *entries, size_t count)
{
	size_t size = 16;
	while (size < count * 2)
		size *= 2;
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot) + size * sizeof(struct entry));
	if (!snapshot)
		return NULL;
	snapshot->mask = size - 1;
	list_lengths(snapshot, entries, count);
	for (size_t i = 0; i < count; i++)
		*(struct entry *)find_slot(snapshot, &entries[i].prefix) = entries[i];
	return snapshot;
}

static int publish(struct routes *routes)
{
	struct snapshot *snapshot = snapshot_build(routes->entries, routes->count);
	if (!snapshot)
		return -ENOMEM;
	struct snapshot *old = atomic_exchange(&routes->snapshot, snapshot);
	rcu_wait();
	free(old);
	return 0;
}

struct routes *routes_new(void)
{
	_cleanup_(routes_freep) struct routes *routes = calloc(1, sizeof(*routes));
	if (!routes || publish(routes) < 0)
		return NULL;
	return take(routes);
}

struct routes *routes_free(struct routes *routes)
{
	if (!routes)
		return NULL;
	free(atomic_load(&routes->snapshot));
	free(routes->entries);
	free(routes);
	return NULL;
}

struct session *routes_owner(const struct routes *routes, const struct prefix *prefix)
{
	return find_slot(atomic_load(&routes->snapshot), prefix)->session;
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

// Whether an entry from position `from` on has the prefix: the same one may come twice in one call.
static bool listed_since(const struct routes *routes, size_t from, const struct prefix *prefix)
{
	for (size_t i = from; i < routes->count; i++)
		if (prefix_equal(&routes->entries[i].prefix, prefix))
			return true;
	return false;
}

int routes_add(struct routes *routes, const struct prefix *prefixes, unsigned count,
	       struct session *session)
{
	size_t before = routes->count;
	int r = reserve(routes, count);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < count; i++) {
		struct prefix prefix = prefix_masked(&prefixes[i]);
		const struct session *owner = routes_owner(routes, &prefix);
		if (owner && owner != session) {
			routes->count = before;
			return -EEXIST;
		}
		if (!owner && !listed_since(routes, before, &prefix))
			routes->entries[routes->count++] =
				(struct entry){.prefix = prefix, .session = session};
	}
	r = publish(routes);
	if (r < 0)
		routes->count = before;
	return r;
}

static bool kept(const struct prefix *prefix, const struct prefix *keep, unsigned keep_count)
{
	for (unsigned i = 0; i < keep_count; i++) {
		struct prefix masked = prefix_masked(&keep[i]);
		if (prefix_equal(prefix, &masked))
			return true;
	}
	return false;
}

void routes_remove(struct routes *routes, const struct session *session, const struct prefix *keep,
		   unsigned keep_count)
{
	size_t left = 0;
	for (size_t i = 0; i < routes->count; i++) {
		struct entry *entry = &routes->entries[i];
		if (entry->session != session || kept(&entry->prefix, keep, keep_count))
			routes->entries[left++] = *entry;
	}
	if (left == routes->count)
		return;
	routes->count = left;
	if (publish(routes) == 0)
		return;
	// Without memory for a smaller copy the old snapshot would lead into a session that is about to go: cut it down in place.
	struct snapshot *snapshot = atomic_load(&routes->snapshot);
	snapshot->lengths[0][0] = LENGTHS_END;
	snapshot->lengths[1][0] = LENGTHS_END;
	rcu_wait();
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

struct session *route_lookup(const struct routes *routes, const struct addr *addr)
{
	const struct snapshot *snapshot =
		atomic_load_explicit(&routes->snapshot, memory_order_acquire);
	const uint8_t *length = snapshot->lengths[family_slot(addr->family)];
	for (; *length != LENGTHS_END; length++) {
		struct prefix prefix = {.addr = *addr, .length = *length};
		prefix = prefix_masked(&prefix);
		const struct entry *slot = find_slot(snapshot, &prefix);
		if (slot->session)
			return slot->session;
	}
	return NULL;
}
