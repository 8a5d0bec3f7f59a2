// SPDX-License-Identifier: Apache-2.0

#include "server/admit.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <openssl/evp.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pki/identity.h"
#include "server/lease.h"

DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free);

int admit_open_leases(const struct admit_options *options, const char *path, struct leases **leases,
		      struct error *error)
{
	_cleanup_(freep) struct lease_fixed *fixed =
		calloc(options->peer_count + 1, sizeof(*fixed));
	struct lease_options lease = {
		.path = path,
		.pools = options->pools,
		.pool_count = options->pool_count,
		.fixed = fixed,
	};

	if (!fixed)
		return error_set(error, ENOMEM, "out of memory");
	for (unsigned i = 0; i < options->peer_count; i++) {
		const struct admit_peer *peer = &options->peers[i];
		if (peer->address_count == 0)
			continue;
		fixed[lease.fixed_count++] = (struct lease_fixed){
			.identity = peer->identity,
			.addresses = peer->addresses,
			.address_count = peer->address_count,
		};
	}
	return *leases ? leases_reload(*leases, &lease, error) : leases_open(&lease, leases, error);
}

bool admit_allows(const struct admit_options *options, const char *identity)
{
	for (unsigned i = 0; i < options->pattern_count; i++)
		if (identity_match(options->patterns[i], identity))
			return true;
	return false;
}

static int push(struct grant_routes *routes, const struct prefix *prefixes, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (routes->count == MESSAGE_ROUTES_MAX)
			return -ENOSPC;
		routes->prefixes[routes->count++] = prefix_masked(&prefixes[i]);
	}
	return 0;
}

// Everything that this gateway leads to, but what lies behind the identity itself.
static int push_all(const struct admit_options *options, const struct admit_peer *peer,
		    struct grant_routes *routes)
{
	routes->count = 0;
	int r = push(routes, options->pools, options->pool_count);
	if (r == 0)
		r = push(routes, options->routes, options->route_count);
	for (unsigned i = 0; r == 0 && i < options->peer_count; i++)
		if (&options->peers[i] != peer)
			r = push(routes, options->peers[i].networks,
				 options->peers[i].network_count);
	return r;
}

int admit_grant(const struct admit_options *options, struct leases *leases, const char *identity,
		time_t now, struct grant *ret, struct grant_routes *ret_routes, struct error *error)
{
	ret->peer = NULL;
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
	r = push_all(options, ret->peer, ret_routes);
	if (r == 0)
		return 0;
	lease_release(leases, identity, now);
	return error_set(error, -r, "more than %u routes to push", MESSAGE_ROUTES_MAX);
}

int grant_digest(const struct grant *grant, const struct grant_routes *routes,
		 uint8_t ret[static GRANT_DIGEST_SIZE])
{
	static_assert(sizeof(struct prefix) == 18, "no padding that would enter the digest");
	_cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *digest = EVP_MD_CTX_new();
	bool done = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
		    EVP_DigestUpdate(digest, &grant->address_count, sizeof(grant->address_count)) ==
			    1 &&
		    EVP_DigestUpdate(digest, grant->addresses,
				     grant->address_count * sizeof(grant->addresses[0])) == 1 &&
		    EVP_DigestUpdate(digest, routes->prefixes,
				     routes->count * sizeof(routes->prefixes[0])) == 1 &&
		    EVP_DigestFinal_ex(digest, ret, NULL) == 1;
	return done ? 0 : -ENOMEM;
}
