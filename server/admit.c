// SPDX-License-Identifier: Apache-2.0

#include "server/admit.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pki/identity.h"
#include "server/lease.h"

#define PROFILE_LIST_MAX 512u // pools and routes

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

// The pools of the profile as bits by their position among all.
static uint64_t pools_of(const struct admit_options *options, const struct profile *profile)
{
	uint64_t bits = 0;
	for (unsigned i = 0; i < options->pool_count; i++)
		for (unsigned j = 0; j < profile->pool_count; j++)
			if (prefix_equal(&options->pools[i], &profile->pools[j]))
				bits |= UINT64_C(1) << i;
	return bits;
}

// Without routes of its own, a profile leads to everything there is.
static void push_routes(const struct admit_options *options, const struct profile *profile,
			const struct grant *grant, struct grant_routes *ret)
{
	struct prefix list[PROFILE_LIST_MAX];
	unsigned count = profile->pool_count;
	if (!profile->route_count) {
		ret->count = announce_to(options->announce, grant->peer, ret->prefixes);
		return;
	}
	memcpy(list, profile->pools, count * sizeof(*list));
	for (unsigned i = 0; i < profile->route_count && count < PROFILE_LIST_MAX; i++)
		list[count++] = profile->routes[i];
	ret->count = announce_list(list, count, grant->peer, ret->prefixes, MESSAGE_ROUTES_MAX);
}

static void push_names(const struct profile *profile, struct message_push *ret)
{
	*ret = (struct message_push){.rate = profile->rate};
	for (unsigned i = 0; i < profile->server_count && i < MESSAGE_DNS_SERVERS_MAX; i++)
		ret->servers[ret->server_count++] = profile->servers[i].addr;
	for (unsigned i = 0; i < profile->domain_count && i < MESSAGE_DNS_DOMAINS_MAX; i++)
		snprintf(ret->domains[ret->domain_count++], DOMAIN_TEXT_MAX, "%s",
			 profile->domains[i]);
}

static int compare_identity(const void *identity, const void *peer)
{
	return strcmp(identity, ((const struct admit_peer *)peer)->identity);
}

const struct admit_peer *admit_find(const struct admit_options *options, const char *identity)
{
	return options->peer_count ? bsearch(identity, options->peers, options->peer_count,
					     sizeof(*options->peers), compare_identity)
				   : NULL;
}

int admit_grant(const struct admit_options *options, struct leases *leases,
		const struct filter_peer *peer, time_t now, struct grant *ret,
		struct grant_routes *ret_routes, struct error *error)
{
	const char *identity = peer->identity;
	if (!admit_allows(options, identity)) {
		error_set(error, EACCES, "identity %s is not admitted here", identity);
		error_remedy(error, "the gateway's setting gateway.admit decides");
		return -EACCES;
	}
	struct profile profile =
		profile_choose(options->profiles, options->profile_count, &options->common, peer);
	ret->peer = admit_find(options, identity);
	ret->mtu = profile.mtu;
	ret->rate = profile.rate;
	int r = lease_acquire(leases, identity, pools_of(options, &profile), now, ret->addresses,
			      MESSAGE_ADDRESSES_MAX, &ret->address_count, error);
	if (r < 0)
		return r;
	push_routes(options, &profile, ret, ret_routes);
	push_names(&profile, &ret_routes->push);
	return 0;
}

int grant_digest(const struct grant *grant, const struct grant_routes *routes,
		 uint8_t ret[static GRANT_DIGEST_SIZE])
{
	static_assert(sizeof(struct prefix) == 18 && sizeof(struct message_push) % 8 == 0,
		      "no padding that would enter the digest");
	_cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *digest = EVP_MD_CTX_new();
	bool done = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
		    EVP_DigestUpdate(digest, &grant->address_count, sizeof(grant->address_count)) ==
			    1 &&
		    EVP_DigestUpdate(digest, grant->addresses,
				     grant->address_count * sizeof(grant->addresses[0])) == 1 &&
		    EVP_DigestUpdate(digest, routes->prefixes,
				     routes->count * sizeof(routes->prefixes[0])) == 1 &&
		    EVP_DigestUpdate(digest, &routes->push, sizeof(routes->push)) == 1 &&
		    EVP_DigestUpdate(digest, &grant->mtu, sizeof(grant->mtu)) == 1 &&
		    EVP_DigestFinal_ex(digest, ret, NULL) == 1;
	return done ? 0 : -ENOMEM;
}

static bool fixes_family(const struct admit_peer *peer, uint8_t family)
{
	for (unsigned i = 0; peer && i < peer->address_count; i++)
		if (peer->addresses[i].addr.family == family)
			return true;
	return false;
}

static bool holds(const struct grant *grant, const struct prefix *prefix)
{
	for (unsigned i = 0; i < grant->address_count; i++)
		if (prefix_contains(prefix, &grant->addresses[i].addr))
			return true;
	return false;
}

// Whether leases would leave it the addresses that it has, and give it no other ones.
static bool keeps_addresses(const struct admit_peer *peer, const struct profile *profile,
			    const struct grant *grant)
{
	unsigned due = peer ? peer->address_count : 0;
	for (unsigned i = 0; i < due; i++)
		if (!holds(grant, &peer->addresses[i]))
			return false;
	for (unsigned i = 0; i < profile->pool_count; i++) {
		if (fixes_family(peer, profile->pools[i].addr.family))
			continue;
		if (!holds(grant, &profile->pools[i]))
			return false;
		due++;
	}
	return due == grant->address_count;
}

static void compare_networks(const struct admit_peer *old, const struct admit_peer *new,
			     struct grant_difference *ret)
{
	unsigned i = 0;
	unsigned j = 0;
	unsigned old_count = old ? old->network_count : 0;
	unsigned new_count = new ? new->network_count : 0;
	while (i < old_count || j < new_count) {
		int order = i == old_count ? 1 : -1;
		if (i < old_count && j < new_count)
			order = prefix_compare(&old->networks[i], &new->networks[j]);
		ret->lost += order < 0;
		ret->gained += order > 0;
		i += order <= 0;
		j += order >= 0;
	}
}

void admit_compare(const struct admit_options *options, const struct filter_peer *peer,
		   const struct grant *grant, const uint8_t told[static GRANT_DIGEST_SIZE],
		   struct grant_difference *ret)
{
	struct grant next = *grant;
	struct grant_routes routes;
	uint8_t digest[GRANT_DIGEST_SIZE];
	*ret = (struct grant_difference){.change = GRANT_ENDED};
	if (!admit_allows(options, peer->identity))
		return;
	struct profile profile =
		profile_choose(options->profiles, options->profile_count, &options->common, peer);
	next.peer = admit_find(options, peer->identity);
	next.mtu = profile.mtu;
	next.rate = profile.rate;
	compare_networks(grant->peer, next.peer, ret);
	ret->change = GRANT_MOVED;
	if (!keeps_addresses(next.peer, &profile, grant))
		return;
	push_routes(options, &profile, &next, &routes);
	push_names(&profile, &routes.push);
	bool same = grant_digest(&next, &routes, digest) == 0 &&
		    memcmp(digest, told, sizeof(digest)) == 0;
	ret->change = same ? GRANT_SAME : GRANT_TOLD;
}
