// SPDX-License-Identifier: Apache-2.0

#include "server/admit.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "pki/identity.h"
#include "server/lease.h"

bool admit_allows(const struct admit_options *options, const char *identity)
{
	for (unsigned i = 0; i < options->pattern_count; i++)
		if (identity_match(options->patterns[i], identity))
			return true;
	return false;
}

static int push(struct grant *grant, const struct prefix *prefixes, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (grant->route_count == MESSAGE_ROUTES_MAX)
			return -ENOSPC;
		grant->routes[grant->route_count++] = prefix_masked(&prefixes[i]);
	}
	return 0;
}

// Everything that this gateway leads to, but what lies behind the identity itself.
static int push_all(const struct admit_options *options, struct grant *grant)
{
	int r = push(grant, options->pools, options->pool_count);
	if (r == 0)
		r = push(grant, options->routes, options->route_count);
	for (unsigned i = 0; r == 0 && i < options->peer_count; i++)
		if (&options->peers[i] != grant->peer)
			r = push(grant, options->peers[i].networks,
				 options->peers[i].network_count);
	return r;
}

int admit_grant(const struct admit_options *options, struct leases *leases, const char *identity,
		time_t now, struct grant *ret, struct error *error)
{
	ret->peer = NULL;
	ret->route_count = 0;
	if (!admit_allows(options, identity)) {
		error_set(error, EACCES, "identity %s is not admitted here", identity);
		error_remedy(error, "the gateway's setting gateway.admit decides");
		return -EACCES;
	}
	for (unsigned i = 0; i < options->peer_count; i++)
		if (strcmp(options->peers[i].identity, identity) == 0)
			ret->peer = &options->peers[i];
	int r = lease_acquire(leases, identity, now, ret->addresses, MESSAGE_ADDRESSES_MAX,
			      &ret->address_count, error);
	if (r < 0)
		return r;
	r = push_all(options, ret);
	if (r == 0)
		return 0;
	lease_release(leases, identity, now);
	return error_set(error, -r, "more than %u routes to push", MESSAGE_ROUTES_MAX);
}

static bool same(const struct prefix *a, unsigned a_count, const struct prefix *b, unsigned b_count)
{
	bool equal = a_count == b_count;
	for (unsigned i = 0; equal && i < a_count; i++)
		equal = prefix_equal(&a[i], &b[i]);
	return equal;
}

bool grant_equal(const struct grant *a, const struct grant *b)
{
	return same(a->addresses, a->address_count, b->addresses, b->address_count) &&
	       same(a->routes, a->route_count, b->routes, b->route_count);
}
