// SPDX-License-Identifier: Apache-2.0

#include "daemon/gateway_role.h"

#include <errno.h>
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "client/apply.h"
#include "daemon/config.h"
#include "pki/identity.h"
#include "server/gateway.h"
#include "server/lease.h"

#define OWNER "" // of what this role wants of the host; no link has an empty name

// What the configuration says of whom, as the gateway wants it.
struct terms {
	struct admit_peer *peers;
	unsigned peer_count;
	struct prefix pools[LEASE_POOLS_MAX]; // all of them
	unsigned pool_count;
	struct profile *profiles;
	struct profile common;
	struct announce *announce;
};

struct gateway_role {
	struct gateway_role_tools tools;
	struct gateway *gateway; // NULL: not configured
	struct config *config;	 // in force; the gateway borrows parts of it
	struct terms *terms;	 // the configuration's, as the gateway wants them
	char *lease_path;
	char *admit_default; // pattern of the own trust domain
};

static struct terms *terms_free(struct terms *terms)
{
	if (!terms)
		return NULL;
	for (unsigned i = 0; terms->peers && i < terms->peer_count; i++)
		free((void *)terms->peers[i].translations);
	announce_free(terms->announce);
	free(terms->peers);
	free(terms->profiles);
	free(terms);
	return NULL;
}
DEFINE_CLEANUP(struct terms *, terms_free);

static struct translation *make_translations(const struct config_peer *peer)
{
	struct translation *list = calloc(peer->translation_count + 1, sizeof(*list));
	for (unsigned i = 0; list && i < peer->translation_count; i++)
		list[i] = (struct translation){
			.from = peer->translations[i].from,
			.to = peer->translations[i].to,
		};
	return list;
}

static bool make_peers(struct terms *terms, const struct config_gateway *config)
{
	terms->peers = calloc(config->peer_count + 1, sizeof(*terms->peers));
	for (unsigned i = 0; terms->peers && i < config->peer_count; i++) {
		const struct config_peer *peer = &config->peers[i];
		struct translation *translations = make_translations(peer);
		if (!translations)
			return false;
		terms->peers[terms->peer_count++] = (struct admit_peer){
			.identity = peer->identity,
			.addresses = peer->addresses,
			.address_count = peer->address_count,
			.networks = peer->networks,
			.network_count = peer->network_count,
			.metric = peer->metric,
			.translations = translations,
			.translation_count = peer->translation_count,
		};
	}
	return terms->peers;
}

static struct profile make_profile(const struct config_profile *config)
{
	return (struct profile){
		.matches = (const char *const *)config->matches,
		.match_count = config->match_count,
		.pools = config->pools,
		.pool_count = config->pool_count,
		.routes = config->routes,
		.route_count = config->route_count,
		.servers = config->dns.servers,
		.server_count = config->dns.server_count,
		.domains = (const char *const *)config->dns.domains,
		.domain_count = config->dns.domain_count,
		.mtu = config->mtu < MESSAGE_MTU_MAX ? config->mtu : 0,
		.rate = config->bandwidth,
	};
}

static void add_pools(struct terms *terms, const struct prefix *pools, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		unsigned j = 0;
		while (j < terms->pool_count && !prefix_equal(&terms->pools[j], &pools[i]))
			j++;
		if (j == terms->pool_count && j < LEASE_POOLS_MAX)
			terms->pools[terms->pool_count++] = pools[i];
	}
}

static bool make_profiles(struct terms *terms, const struct config_gateway *config)
{
	terms->profiles = calloc(config->profile_count + 1, sizeof(*terms->profiles));
	add_pools(terms, config->pools, config->pool_count);
	for (unsigned i = 0; terms->profiles && i < config->profile_count; i++) {
		terms->profiles[i] = make_profile(&config->profiles[i]);
		add_pools(terms, config->profiles[i].pools, config->profiles[i].pool_count);
	}
	terms->common = (struct profile){
		.pools = config->pools,
		.pool_count = config->pool_count,
		.servers = config->dns.servers,
		.server_count = config->dns.server_count,
		.domains = (const char *const *)config->dns.domains,
		.domain_count = config->dns.domain_count,
	};
	return terms->profiles;
}

// NULL: out of memory.
static struct terms *make_terms(const struct config_gateway *config)
{
	_cleanup_(terms_freep) struct terms *terms = calloc(1, sizeof(*terms));
	if (!terms || !make_peers(terms, config) || !make_profiles(terms, config))
		return NULL;
	struct announce_options options = {
		.pools = terms->pools,
		.pool_count = terms->pool_count,
		.routes = config->routes,
		.route_count = config->route_count,
		.peers = terms->peers,
		.peer_count = terms->peer_count,
	};
	terms->announce = announce_new(&options, MESSAGE_ROUTES_MAX);
	if (!terms->announce)
		return NULL;
	if (announce_left_out(terms->announce))
		log_warning("the networks of %u sites are not pushed to others: more than %u "
			    "routes; cover them by a wider prefix in gateway.routes",
			    announce_left_out(terms->announce), MESSAGE_ROUTES_MAX);
	return take(terms);
}

static struct gateway_options gateway_options(const struct gateway_role *role,
					      const struct config *config,
					      const struct terms *terms)
{
	const struct config_gateway *gateway = &config->gateway;
	bool fallback = gateway->admit_count == 0;
	return (struct gateway_options){
		.admit =
			{
				.patterns = fallback ? (const char *const *)&role->admit_default
						     : (const char *const *)gateway->admit,
				.pattern_count = fallback ? 1 : gateway->admit_count,
				.pools = terms->pools,
				.pool_count = terms->pool_count,
				.profiles = terms->profiles,
				.profile_count = gateway->profile_count,
				.common = terms->common,
				.routes = gateway->routes,
				.route_count = gateway->route_count,
				.peers = terms->peers,
				.peer_count = terms->peer_count,
				.announce = terms->announce,
			},
		.listen = gateway->listen,
		.listen_count = gateway->listen_count,
		.keepalive_s = gateway->keepalive_s,
		.reauth_within_s = gateway->reauth_within_s,
		.max_sessions = gateway->max_sessions,
		.mtu = config->interface.mtu,
		.mark = config->interface.mark,
		.lease_path = role->lease_path,
		.ca = gateway->ca,
		.ca_passphrase = gateway->ca_passphrase,
		.unknown_anchor = role->tools.unknown_anchor,
		.data = role->tools.data,
		.herald = role->tools.herald,
	};
}

// The gateway's own addresses, and kernel routes to everything that its sessions may own.
static int apply_gateway(struct gateway_role *role, const struct config *config,
			 const struct terms *terms, struct error *error)
{
	const struct config_gateway *gateway = &config->gateway;
	struct prefix addresses[LEASE_POOLS_MAX];
	unsigned count = terms->pool_count;
	size_t room = count;
	for (unsigned i = 0; i < gateway->peer_count; i++)
		room += gateway->peers[i].network_count + gateway->peers[i].address_count;
	_cleanup_(freep) struct prefix *routes = calloc(room + 1, sizeof(*routes));
	if (!routes)
		return error_set(error, ENOMEM, "out of memory");
	for (unsigned i = 0; i < terms->pool_count; i++) {
		addresses[i] = lease_gateway_address(&terms->pools[i]);
		routes[i] = terms->pools[i];
	}
	for (unsigned i = 0; i < gateway->peer_count; i++) {
		const struct config_peer *peer = &gateway->peers[i];
		for (unsigned j = 0; j < peer->network_count; j++)
			routes[count++] = peer->networks[j];
		for (unsigned j = 0; j < peer->address_count; j++)
			routes[count++] = peer->addresses[j];
	}
	return apply_set(role->tools.apply, OWNER, addresses, terms->pool_count, routes, count,
			 error);
}

static int start_gateway(struct gateway_role *role, const struct config *config,
			 struct tls_context *context, struct error *error)
{
	_cleanup_(terms_freep) struct terms *terms = make_terms(&config->gateway);
	if (!terms)
		return error_set(error, ENOMEM, "out of memory");
	struct gateway_options options = gateway_options(role, config, terms);
	int r = apply_gateway(role, config, terms, error);
	if (r == 0)
		r = gateway_new(role->tools.event, role->tools.dataplane, &options, context,
				&role->gateway, error);
	if (r < 0) {
		apply_clear(role->tools.apply, OWNER);
		return r;
	}
	role->terms = take(terms);
	return 0;
}

static void stop_gateway(struct gateway_role *role)
{
	role->gateway = gateway_free(role->gateway);
	role->terms = terms_free(role->terms);
	role->config = config_put(role->config);
	apply_clear(role->tools.apply, OWNER);
}

static int reload_gateway(struct gateway_role *role, const struct config *config,
			  struct error *error)
{
	_cleanup_(terms_freep) struct terms *terms = make_terms(&config->gateway);
	if (!terms)
		return error_set(error, ENOMEM, "out of memory");
	struct gateway_options options = gateway_options(role, config, terms);
	int r = apply_gateway(role, config, terms, error);
	if (r == 0)
		r = gateway_reload(role->gateway, &options, error);
	if (r < 0) {
		apply_gateway(role, role->config, role->terms, NULL);
		return r;
	}
	terms_free(role->terms);
	role->terms = take(terms);
	return 0;
}

int gateway_role_new(const struct gateway_role_tools *tools, struct gateway_role **ret,
		     struct error *error)
{
	_cleanup_(gateway_role_freep) struct gateway_role *role = calloc(1, sizeof(*role));
	const char *domain;
	int length = (int)identity_domain(tools->identity, &domain);
	if (!role)
		return error_set(error, ENOMEM, "out of memory");
	role->tools = *tools;
	role->tools.identity = role->tools.state = NULL;
	if (asprintf(&role->lease_path, "%s/leases.db", tools->state) < 0 ||
	    asprintf(&role->admit_default, "spiffe://%.*s/**", length, domain) < 0)
		return error_set(error, ENOMEM, "out of memory");
	*ret = take(role);
	return 0;
}

struct gateway_role *gateway_role_free(struct gateway_role *role)
{
	if (!role)
		return NULL;
	stop_gateway(role);
	free(role->lease_path);
	free(role->admit_default);
	free(role);
	return NULL;
}

int gateway_role_set(struct gateway_role *role, struct config *config, struct tls_context *context,
		     struct error *error)
{
	if (!config->gateway.enabled) {
		stop_gateway(role);
		return 0;
	}
	int r = role->gateway ? reload_gateway(role, config, error)
			      : start_gateway(role, config, context, error);
	if (r < 0)
		return r;
	config_get(config);
	config_put(role->config);
	role->config = config;
	return 0;
}

struct gateway *gateway_role_gateway(const struct gateway_role *role)
{
	return role ? role->gateway : NULL;
}
