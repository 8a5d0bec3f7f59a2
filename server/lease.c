// SPDX-License-Identifier: Apache-2.0
// Everything is in memory; the database only outlives the daemon. An identity is hashed to its place in a pool, and probing
// goes on from there: addresses stay the same even when the database is lost, as long as the pool has room.
// A reload makes a new plan aside and then places the leases anew in it.

#include "server/lease.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/sha.h>
#include <urcu/list.h>

#include "base/error.h"
#include "base/table.h"
#include "server/lease_db.h"
#include "server/lease_plan.h"

struct lease {
	struct cds_list_head idle; // in its pool's list while no session holds it
	struct owner *owner;
	struct lease *sibling; // of the same identity
	unsigned pool;
	struct addr address;
	time_t since, used;
};

struct owner {
	struct lease *first;
	bool held; // by its session
	char identity[];
};

struct leases {
	struct lease_db *db; // NULL: in memory only
	struct plan *plan;
	struct table *owners;	 // identity -> struct owner
	struct table *addresses; // struct addr -> struct lease
};

static struct lease *owner_lease(const struct owner *owner, unsigned pool)
{
	for (struct lease *lease = owner->first; lease; lease = lease->sibling)
		if (lease->pool == pool)
			return lease;
	return NULL;
}

static struct owner *owner_find(const struct leases *leases, const char *identity)
{
	return table_find(leases->owners, identity, strlen(identity));
}

static struct owner *owner_get(struct leases *leases, const char *identity)
{
	struct owner *owner = owner_find(leases, identity);

	if (owner)
		return owner;
	owner = calloc(1, sizeof(*owner) + strlen(identity) + 1);
	if (!owner)
		return NULL;
	memcpy(owner->identity, identity, strlen(identity));
	if (table_add(leases->owners, owner->identity, strlen(identity), owner) < 0) {
		free(owner);
		return NULL;
	}
	return owner;
}

// Frees it when nothing needs it.
static void owner_settle(struct leases *leases, struct owner *owner)
{
	if (owner->first || owner->held)
		return;
	table_remove(leases->owners, owner->identity, strlen(owner->identity));
	free(owner);
}

// The pool for a lease of this owner at this address; NULL: it does not fit the plan.
static struct pool *plan_fit(struct plan *plan, const struct owner *owner,
			     const struct addr *address)
{
	struct pool *pool = plan_pool(plan, address);

	if (!pool || !pool_gives(pool, address) || pool->used >= pool->capacity)
		return NULL;
	if (table_find(plan->by_address, address, sizeof(*address)) ||
	    plan_fixes(plan, owner->identity, address->family))
		return NULL;
	return owner_lease(owner, (unsigned)(pool - plan->pools)) ? NULL : pool;
}

static void lease_link(struct lease *lease, struct plan *plan, struct pool *pool)
{
	struct owner *owner = lease->owner;

	lease->pool = (unsigned)(pool - plan->pools);
	lease->sibling = owner->first;
	owner->first = lease;
	pool->used++;
	if (owner->held)
		CDS_INIT_LIST_HEAD(&lease->idle);
	else
		cds_list_add_tail(&lease->idle, &pool->idle);
}

static int lease_add(struct leases *leases, struct owner *owner, struct pool *pool,
		     const struct lease_row *row)
{
	struct lease *lease = calloc(1, sizeof(*lease));

	if (!lease)
		return -ENOMEM;
	lease->owner = owner;
	lease->address = row->address;
	lease->since = row->since;
	lease->used = row->used;
	int r = table_add(leases->addresses, &lease->address, sizeof(lease->address), lease);
	if (r < 0) {
		free(lease);
		return r;
	}
	lease_link(lease, leases->plan, pool);
	return 0;
}

// Out of the tables and the database, and gone.
static void lease_forget(struct leases *leases, struct lease *lease)
{
	lease_db_remove(leases->db, &lease->address);
	table_remove(leases->addresses, &lease->address, sizeof(lease->address));
	free(lease);
}

// The pool's oldest lease that nobody holds makes room. Its address.
static bool pool_take_over(struct leases *leases, struct pool *pool, struct addr *ret)
{
	if (cds_list_empty(&pool->idle))
		return false;
	struct lease *lease = cds_list_entry(pool->idle.next, struct lease, idle);
	struct owner *owner = lease->owner;
	struct lease **place = &owner->first;

	*ret = lease->address;
	while (*place != lease)
		place = &(*place)->sibling;
	*place = lease->sibling;
	cds_list_del(&lease->idle);
	pool->used--;
	lease_forget(leases, lease);
	owner_settle(leases, owner);
	return true;
}

static uint64_t identity_hash(const char *identity)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	uint64_t hash = 0;

	SHA256((const unsigned char *)identity, strlen(identity), digest);
	for (unsigned i = 0; i < 8; i++)
		hash = hash << 8 | digest[i];
	return hash;
}

// A free address for the identity. There is one: fewer than `capacity` are used.
static bool pool_probe(const struct leases *leases, const struct pool *pool, const char *identity,
		       struct addr *ret)
{
	uint64_t place = identity_hash(identity) % pool->count;

	for (uint64_t i = 0; i < pool->count; i++) {
		if (!addr_add(&pool->prefix.addr, POOL_FIRST + place, ret))
			return false;
		if (!table_find(leases->addresses, ret, sizeof(*ret)) &&
		    !table_find(leases->plan->by_address, ret, sizeof(*ret)))
			return true;
		place = place + 1 < pool->count ? place + 1 : 0;
	}
	return false;
}

static int pool_lease(struct leases *leases, struct pool *pool, struct owner *owner, time_t now,
		      struct error *error)
{
	struct lease_row row = {
		.identity = owner->identity, .pool = pool->prefix, .since = now, .used = now};
	char text[PREFIX_TEXT_MAX];
	bool found = pool->used < pool->capacity
			     ? pool_probe(leases, pool, owner->identity, &row.address)
			     : pool_take_over(leases, pool, &row.address);

	if (!found) {
		error_set(error, ENOSPC,
			  "no address is left in the pool %s: sessions hold all %llu",
			  prefix_text(&pool->prefix, text), (unsigned long long)pool->capacity);
		error_remedy(error, "give gateway.pools a larger one");
		return -ENOSPC;
	}
	int r = lease_add(leases, owner, pool, &row);
	if (r < 0)
		return error_set(error, -r, "out of memory");
	lease_db_put(leases->db, &row);
	return 0;
}

static int row_take(const struct lease_row *row, void *data)
{
	struct leases *leases = data;
	struct owner *owner = owner_get(leases, row->identity);

	if (!owner)
		return -ENOMEM;
	struct pool *pool = plan_fit(leases->plan, owner, &row->address);
	int r = pool ? lease_add(leases, owner, pool, row) : -EEXIST;
	if (r == -EEXIST) {
		lease_db_remove(leases->db, &row->address);
		r = 0;
	}
	owner_settle(leases, owner);
	return r;
}

int leases_open(const struct lease_options *options, struct leases **ret, struct error *error)
{
	_cleanup_(leases_closep) struct leases *leases = calloc(1, sizeof(*leases));

	if (leases) {
		leases->owners = table_new();
		leases->addresses = table_new();
	}
	if (!leases || !leases->owners || !leases->addresses)
		return error_set(error, ENOMEM, "out of memory");
	int r = plan_new(options, &leases->plan, error);
	if (r < 0)
		return r;
	if (options->path) {
		r = lease_db_open(options->path, &leases->db, error);
		if (r < 0)
			return r;
		r = lease_db_load(leases->db, row_take, leases);
		if (r < 0) {
			error_set(error, -r, "the leases cannot be read: %s", strerror(-r));
			error_where(error, "%s", options->path);
			return r;
		}
	}
	*ret = take(leases);
	return 0;
}

struct leases *leases_close(struct leases *leases)
{
	size_t cursor = 0;
	void *value;

	if (!leases)
		return NULL;
	while (leases->addresses && (value = table_next(leases->addresses, &cursor)))
		free(value);
	cursor = 0;
	while (leases->owners && (value = table_next(leases->owners, &cursor)))
		free(value);
	table_free(leases->addresses);
	table_free(leases->owners);
	plan_free(leases->plan);
	lease_db_close(leases->db);
	free(leases);
	return NULL;
}

struct lease_db *leases_db(const struct leases *leases)
{
	return leases->db;
}

static int compare_used(const void *a, const void *b)
{
	const struct lease *left = *(struct lease *const *)a, *right = *(struct lease *const *)b;

	return (left->used > right->used) - (left->used < right->used);
}

int leases_reload(struct leases *leases, const struct lease_options *options, struct error *error)
{
	_cleanup_(plan_freep) struct plan *plan = NULL;
	size_t count = table_count(leases->addresses), cursor = 0;
	_cleanup_(freep) struct lease **all = calloc(count + 1, sizeof(struct lease *));

	if (!all)
		return error_set(error, ENOMEM, "out of memory");
	int r = plan_new(options, &plan, error);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		all[i] = table_next(leases->addresses, &cursor);
		all[i]->owner->first = NULL;
	}
	// Least recently used first: the order of the pools' lists.
	qsort(all, count, sizeof(struct lease *), compare_used);
	lease_db_begin(leases->db);
	for (size_t i = 0; i < count; i++) {
		struct owner *owner = all[i]->owner;
		struct pool *pool = plan_fit(plan, owner, &all[i]->address);
		if (pool)
			lease_link(all[i], plan, pool);
		else
			lease_forget(leases, all[i]);
	}
	lease_db_commit(leases->db);
	cursor = 0;
	for (struct owner *owner; (owner = table_next(leases->owners, &cursor));)
		owner_settle(leases, owner);
	plan_free(leases->plan);
	leases->plan = take(plan);
	return 0;
}

// Whether the pool is one of those that are to give the owner an address.
static bool pool_is_due(const struct plan *plan, const char *identity, uint64_t pools,
			unsigned pool)
{
	return pools >> pool & 1 &&
	       !plan_fixes(plan, identity, plan->pools[pool].prefix.addr.family);
}

// Every pool that is to give the owner an address has done so.
static int owner_fill(struct leases *leases, struct owner *owner, uint64_t pools, time_t now,
		      struct error *error)
{
	struct plan *plan = leases->plan;

	for (unsigned i = 0; i < plan->pool_count; i++) {
		if (!pool_is_due(plan, owner->identity, pools, i) || owner_lease(owner, i))
			continue;
		int r = pool_lease(leases, &plan->pools[i], owner, now, error);
		if (r < 0)
			return r;
	}
	return 0;
}

// Gives back what is in other pools.
static void owner_prune(struct leases *leases, struct owner *owner, uint64_t pools)
{
	struct lease **place = &owner->first;

	while (*place) {
		struct lease *lease = *place;
		if (pool_is_due(leases->plan, owner->identity, pools, lease->pool)) {
			place = &lease->sibling;
			continue;
		}
		*place = lease->sibling;
		cds_list_del(&lease->idle);
		leases->plan->pools[lease->pool].used--;
		lease_forget(leases, lease);
	}
}

static unsigned owner_addresses(const struct leases *leases, const struct owner *owner,
				struct prefix *ret)
{
	const struct fixed *fixed =
		table_find(leases->plan->by_identity, owner->identity, strlen(owner->identity));
	unsigned count = 0;

	for (unsigned i = 0; fixed && i < fixed->count; i++)
		ret[count++] = fixed->addresses[i];
	for (unsigned i = 0; i < leases->plan->pool_count; i++) {
		const struct lease *lease = owner_lease(owner, i);
		if (lease)
			ret[count++] = prefix_of(&lease->address);
	}
	return count;
}

// How many addresses the identity is to have.
static unsigned addresses_due(const struct plan *plan, const char *identity, uint64_t pools)
{
	const struct fixed *fixed = table_find(plan->by_identity, identity, strlen(identity));
	unsigned count = fixed ? fixed->count : 0;

	for (unsigned i = 0; i < plan->pool_count; i++)
		count += pool_is_due(plan, identity, pools, i);
	return count;
}

int lease_acquire(struct leases *leases, const char *identity, uint64_t pools, time_t now,
		  struct prefix *ret, unsigned ret_size, unsigned *ret_count, struct error *error)
{
	if (ret_size < addresses_due(leases->plan, identity, pools))
		return error_set(error, ENOBUFS, "%s has too many addresses", identity);
	struct owner *owner = owner_get(leases, identity);
	if (!owner)
		return error_set(error, ENOMEM, "out of memory");
	lease_db_begin(leases->db);
	int r = owner_fill(leases, owner, pools, now, error);
	if (r >= 0) {
		owner_prune(leases, owner, pools);
		lease_db_touch(leases->db, owner->identity, now);
	}
	lease_db_commit(leases->db);
	if (r < 0) {
		owner_settle(leases, owner);
		return r;
	}
	for (struct lease *lease = owner->first; lease; lease = lease->sibling) {
		lease->used = now;
		if (!owner->held)
			cds_list_del_init(&lease->idle);
	}
	owner->held = true;
	*ret_count = owner_addresses(leases, owner, ret);
	return 0;
}

void lease_release(struct leases *leases, const char *identity, time_t now)
{
	struct owner *owner = owner_find(leases, identity);

	if (!owner || !owner->held)
		return;
	owner->held = false;
	for (struct lease *lease = owner->first; lease; lease = lease->sibling) {
		lease->used = now;
		cds_list_add_tail(&lease->idle, &leases->plan->pools[lease->pool].idle);
	}
	if (owner->first)
		lease_db_touch(leases->db, owner->identity, now);
	owner_settle(leases, owner);
}

struct prefix lease_gateway_address(const struct prefix *pool)
{
	struct prefix gateway = *pool;

	if (!addr_add(&pool->addr, 1, &gateway.addr))
		gateway.addr = pool->addr;
	return gateway;
}
