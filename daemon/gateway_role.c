// SPDX-License-Identifier: Apache-2.0

#include "daemon/gateway_role.h"

#include <errno.h>
#include <stdio.h>

#include "base/error.h"
#include "client/apply.h"
#include "daemon/config.h"
#include "pki/identity.h"
#include "server/gateway.h"
#include "server/lease.h"

#define OWNER "" // of what this role wants of the host; no link has an empty name

struct gateway_role {
	struct gateway_role_tools tools;
	struct gateway *gateway;  // NULL: not configured
	struct config *config;	  // in force; the gateway borrows parts of it
	struct admit_peer *peers; // the configuration's, as the gateway wants them
	char *lease_path;
	char *admit_default; // pattern of the own trust domain
};

static struct admit_peer *make_peers(const struct config_gateway *config)
{
	struct admit_peer *peers = calloc(config->peer_count + 1, sizeof(*peers));
	for (unsigned i = 0; peers && i < config->peer_count; i++)
		peers[i] = (struct admit_peer){
			.identity = config->peers[i].identity,
			.addresses = config->peers[i].addresses,
			.address_count = config->peers[i].address_count,
			.networks = config->peers[i].networks,
			.network_count = config->peers[i].network_count,
		};
	return peers;
}

static struct gateway_options gateway_options(const struct gateway_role *role,
					      const struct config *config,
					      const struct admit_peer *peers)
{
	const struct config_gateway *gateway = &config->gateway;
	bool fallback = gateway->admit_count == 0;
	return (struct gateway_options){
		.admit =
			{
				.patterns = fallback ? (const char *const *)&role->admit_default
						     : (const char *const *)gateway->admit,
				.pattern_count = fallback ? 1 : gateway->admit_count,
				.pools = gateway->pools,
				.pool_count = gateway->pool_count,
				.routes = gateway->routes,
				.route_count = gateway->route_count,
				.peers = peers,
				.peer_count = gateway->peer_count,
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
			 struct error *error)
{
	const struct config_gateway *gateway = &config->gateway;
	struct prefix addresses[LEASE_POOLS_MAX];
	unsigned count = gateway->pool_count;
	unsigned room = count;
	for (unsigned i = 0; i < gateway->peer_count; i++)
		room += gateway->peers[i].network_count + gateway->peers[i].address_count;
	_cleanup_(freep) struct prefix *routes = calloc(room + 1, sizeof(*routes));
	if (!routes)
		return error_set(error, ENOMEM, "out of memory");
	for (unsigned i = 0; i < gateway->pool_count && i < LEASE_POOLS_MAX; i++) {
		addresses[i] = lease_gateway_address(&gateway->pools[i]);
		routes[i] = gateway->pools[i];
	}
	for (unsigned i = 0; i < gateway->peer_count; i++) {
		const struct config_peer *peer = &gateway->peers[i];
		for (unsigned j = 0; j < peer->network_count; j++)
			routes[count++] = peer->networks[j];
		for (unsigned j = 0; j < peer->address_count; j++)
			routes[count++] = peer->addresses[j];
	}
	return apply_set(role->tools.apply, OWNER, addresses, gateway->pool_count, routes, count,
			 error);
}

static int start_gateway(struct gateway_role *role, const struct config *config,
			 struct tls_context *context, struct error *error)
{
	struct admit_peer *peers = make_peers(&config->gateway);
	if (!peers)
		return error_set(error, ENOMEM, "out of memory");
	struct gateway_options options = gateway_options(role, config, peers);
	int r = apply_gateway(role, config, error);
	if (r == 0)
		r = gateway_new(role->tools.event, role->tools.dataplane, &options, context,
				&role->gateway, error);
	if (r < 0) {
		free(peers);
		apply_clear(role->tools.apply, OWNER);
		return r;
	}
	role->peers = peers;
	return 0;
}

static void stop_gateway(struct gateway_role *role)
{
	role->gateway = gateway_free(role->gateway);
	free(role->peers);
	role->peers = NULL;
	role->config = config_put(role->config);
	apply_clear(role->tools.apply, OWNER);
}

static int reload_gateway(struct gateway_role *role, const struct config *config,
			  struct error *error)
{
	struct admit_peer *peers = make_peers(&config->gateway);
	if (!peers)
		return error_set(error, ENOMEM, "out of memory");
	struct gateway_options options = gateway_options(role, config, peers);
	int r = apply_gateway(role, config, error);
	if (r == 0)
		r = gateway_reload(role->gateway, &options, error);
	if (r < 0) {
		apply_gateway(role, role->config, NULL);
		free(peers);
		return r;
	}
	free(role->peers);
	role->peers = peers;
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
