// SPDX-License-Identifier: Apache-2.0

#include "server/lease_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/table.h"

struct plan *plan_free(struct plan *plan)
{
	if (!plan)
		return NULL;
	for (unsigned i = 0; i < plan->fixed_count; i++) {
		free(plan->fixed[i].identity);
		free(plan->fixed[i].addresses);
	}
	free(plan->fixed);
	table_free(plan->by_identity);
	table_free(plan->by_address);
	free(plan);
	return NULL;
}

// The lowest 64 bits: offsets in a pool are not longer.
static uint64_t addr_low(const struct addr *addr)
{
	uint64_t low = 0;

	for (unsigned i = addr->family == AF_INET ? 0 : 8; i < ADDR_BYTES(addr); i++)
		low = low << 8 | addr->bytes[i];
	return low;
}

static void pool_init(struct pool *pool, const struct prefix *prefix)
{
	unsigned bits = ADDR_BITS(&prefix->addr) - prefix->length;
	uint64_t last = bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;

	if (prefix->addr.family == AF_INET && last > 0)
		last--; // broadcast
	pool->prefix = *prefix;
	pool->count = last < POOL_FIRST ? 0 : last - POOL_FIRST + 1;
	CDS_INIT_LIST_HEAD(&pool->idle);
}

bool pool_gives(const struct pool *pool, const struct addr *address)
{
	if (!prefix_contains(&pool->prefix, address))
		return false;
	if (address->family == AF_INET6 && memcmp(address->bytes, pool->prefix.addr.bytes, 8) != 0)
		return false;
	uint64_t offset = addr_low(address) - addr_low(&pool->prefix.addr);
	return offset >= POOL_FIRST && offset - POOL_FIRST < pool->count;
}

struct pool *plan_pool(struct plan *plan, const struct addr *address)
{
	for (unsigned i = 0; i < plan->pool_count; i++)
		if (prefix_contains(&plan->pools[i].prefix, address))
			return &plan->pools[i];
	return NULL;
}

static int plan_add_address(struct plan *plan, struct fixed *fixed, struct prefix *prefix,
			    struct error *error)
{
	char text[PREFIX_TEXT_MAX];
	struct pool *pool = plan_pool(plan, &prefix->addr);

	if (prefix->length != ADDR_BITS(&prefix->addr) || !addr_assignable(&prefix->addr))
		return error_set(error, EINVAL, "%s cannot be the address of %s",
				 prefix_text(prefix, text), fixed->identity);
	if (pool && !pool_gives(pool, &prefix->addr))
		return error_set(error, EINVAL,
				 "the address %s of %s is the gateway's own, or its pool's network "
				 "or broadcast address",
				 addr_text(&prefix->addr, text), fixed->identity);
	int r = table_add(plan->by_address, &prefix->addr, sizeof(prefix->addr), fixed);
	if (r == -EEXIST) {
		struct fixed *other =
			table_find(plan->by_address, &prefix->addr, sizeof(prefix->addr));
		return error_set(error, EINVAL, "the address %s of %s is that of %s, too",
				 addr_text(&prefix->addr, text), fixed->identity, other->identity);
	}
	if (r < 0)
		return error_set(error, -r, "out of memory");
	if (pool)
		pool->capacity--;
	return 0;
}

static int plan_add_fixed(struct plan *plan, const struct lease_fixed *from, struct error *error)
{
	struct fixed *fixed = &plan->fixed[plan->fixed_count++];

	fixed->identity = strdup(from->identity);
	fixed->addresses = calloc(from->address_count + 1, sizeof(*fixed->addresses));
	if (!fixed->identity || !fixed->addresses)
		return error_set(error, ENOMEM, "out of memory");
	fixed->count = from->address_count;
	int r = table_add(plan->by_identity, fixed->identity, strlen(fixed->identity), fixed);
	if (r == -EEXIST)
		return error_set(error, EINVAL, "%s has fixed addresses twice", fixed->identity);
	if (r < 0)
		return error_set(error, -r, "out of memory");
	for (unsigned i = 0; i < fixed->count; i++) {
		fixed->addresses[i] = from->addresses[i];
		r = plan_add_address(plan, fixed, &fixed->addresses[i], error);
		if (r < 0)
			return r;
	}
	return 0;
}

int plan_new(const struct lease_options *options, struct plan **ret, struct error *error)
{
	_cleanup_(plan_freep) struct plan *plan = calloc(1, sizeof(*plan));

	if (options->pool_count > LEASE_POOLS_MAX)
		return error_set(error, EINVAL, "%u pools; at most %u are possible",
				 options->pool_count, LEASE_POOLS_MAX);
	if (plan) {
		plan->by_identity = table_new();
		plan->by_address = table_new();
		plan->fixed = calloc(options->fixed_count + 1, sizeof(*plan->fixed));
	}
	if (!plan || !plan->by_identity || !plan->by_address || !plan->fixed)
		return error_set(error, ENOMEM, "out of memory");
	for (unsigned i = 0; i < options->pool_count; i++) {
		struct pool *pool = &plan->pools[plan->pool_count++];
		pool_init(pool, &options->pools[i]);
		pool->capacity = pool->count;
	}
	for (unsigned i = 0; i < options->fixed_count; i++) {
		int r = plan_add_fixed(plan, &options->fixed[i], error);
		if (r < 0)
			return r;
	}
	for (unsigned i = 0; i < plan->pool_count; i++)
		if (plan->pools[i].capacity > LEASE_COUNT_MAX)
			plan->pools[i].capacity = LEASE_COUNT_MAX;
	*ret = take(plan);
	return 0;
}

bool plan_fixes(const struct plan *plan, const char *identity, int family)
{
	const struct fixed *fixed = table_find(plan->by_identity, identity, strlen(identity));

	for (unsigned i = 0; fixed && i < fixed->count; i++)
		if (fixed->addresses[i].addr.family == family)
			return true;
	return false;
}
