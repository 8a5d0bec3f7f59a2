// SPDX-License-Identifier: Apache-2.0

#include "daemon/gateway_role.h"

#include <errno.h>
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "client/apply.h"
#include "client/claim.h"
#include "daemon/config.h"
#include "daemon/terms.h"
#include "pki/identity.h"
#include "server/gateway.h"
#include "server/lease.h"
#include "tun/dataplane.h"
#include "tun/route.h"

#define OWNER "" // of what this role wants of the host; no link has an empty name

struct gateway_role {
	struct gateway_role_tools tools;
	struct gateway *gateway; // NULL: not configured
	// In force; the gateway borrows parts of it. What sessions were granted by is kept until gateway_role_grant().
	struct basis {
		struct config *config;
		struct terms *terms; // the configuration's, as the gateway wants them
	} now, before;
	void (*granted)(void *data); // for on_granted()
	void *granted_data;
	char *lease_path;
	char *admit_default; // pattern of the own trust domain
};

static void basis_done(struct basis *basis)
{
	basis->terms = terms_free(basis->terms);
	basis->config = config_put(basis->config);
}

// Takes the terms, and a reference of the configuration.
static void set_basis(struct gateway_role *role, struct config *config, struct terms *terms)
{
	if (role->before.config)
		basis_done(&role->now); // nobody was granted anything by it
	else
		role->before = role->now;
	role->now = (struct basis){config_get(config), terms};
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
		.witness = role->tools.witness,
	};
}

// Only links could take something away.
static int claim(struct gateway_role *role, const struct estate *estate, bool links)
{
	struct claim_list list = {0};
	if (links)
		list = (struct claim_list){
			.peers = estate->peers,
			.peer_count = estate->peer_count,
			.behind = estate->behind,
			.behind_count = estate->behind_count,
		};
	int r = claims_set(role->tools.claims, &list);
	if (r == 0)
		r = routes_keep(dataplane_routes(role->tools.dataplane), list.peers,
				list.peer_count);
	if (r == 0)
		role->tools.claimed(role->tools.data);
	return r;
}

// The gateway's own addresses, and kernel routes to everything that its sessions may own; links lose first what they may not have.
static int apply_gateway(struct gateway_role *role, const struct config *config,
			 const struct terms *terms, struct error *error)
{
	const struct estate *estate = &terms->estate;
	if (claim(role, estate, config->link_count > 0) < 0)
		return error_set(error, ENOMEM, "out of memory");
	return apply_set(role->tools.apply, OWNER, estate->addresses, estate->address_count,
			 estate->peers, estate->peer_count, error);
}

static void clear_gateway(struct gateway_role *role)
{
	claim(role, NULL, false);
	apply_clear(role->tools.apply, OWNER);
}

static int start_gateway(struct gateway_role *role, const struct config *config,
			 const struct terms *terms, struct tls_context *context,
			 struct error *error)
{
	struct gateway_options options = gateway_options(role, config, terms);
	int r = apply_gateway(role, config, terms, error);
	if (r == 0)
		r = gateway_new(role->tools.event, role->tools.dataplane, &options, context,
				&role->gateway, error);
	if (r < 0)
		clear_gateway(role);
	return r;
}

static void stop_gateway(struct gateway_role *role)
{
	role->gateway = gateway_free(role->gateway);
	basis_done(&role->now);
	basis_done(&role->before);
	clear_gateway(role);
}

static int reload_gateway(struct gateway_role *role, const struct config *config,
			  const struct terms *terms, struct error *error)
{
	struct gateway_options options = gateway_options(role, config, terms);
	int r = apply_gateway(role, config, terms, error);
	if (r == 0)
		r = gateway_reload(role->gateway, &options, error);
	if (r < 0)
		apply_gateway(role, role->now.config, role->now.terms, NULL);
	return r;
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

static void warn_of(const struct terms *terms)
{
	unsigned left_out = announce_left_out(terms->announce);
	if (left_out)
		log_warning("the networks of %u sites are not pushed to others: more than %u "
			    "routes; cover them by a wider prefix in gateway.routes",
			    left_out, MESSAGE_ROUTES_MAX);
}

int gateway_role_set(struct gateway_role *role, struct config *config, struct terms *terms,
		     struct tls_context *context, struct error *error)
{
	_cleanup_(terms_freep) struct terms *made = terms;
	if (!config->gateway.enabled) {
		stop_gateway(role);
		return 0;
	}
	if (!made)
		made = terms_new(config);
	if (!made)
		return error_set(error, ENOMEM, "out of memory");
	int r = role->gateway ? reload_gateway(role, config, made, error)
			      : start_gateway(role, config, made, context, error);
	if (r < 0)
		return r;
	warn_of(made);
	set_basis(role, config, take(made));
	return 0;
}

static void on_granted(void *data)
{
	struct gateway_role *role = data;
	basis_done(&role->before);
	role->granted(role->granted_data);
}

void gateway_role_grant(struct gateway_role *role, void (*done)(void *data), void *data)
{
	role->granted = done;
	role->granted_data = data;
	if (role->gateway && role->before.config)
		gateway_grant(role->gateway, on_granted, role);
	else
		on_granted(role);
}

void gateway_role_compare(const struct gateway_role *role, const struct config *config,
			  struct terms *terms, struct comparison *ret)
{
	if (terms)
		ret->options = gateway_options(role, config, terms);
	ret->role = role;
	ret->cursor = SIZE_MAX;
	ret->terms = terms;
}

bool comparison_go_on(struct comparison *comparison)
{
	const struct gateway *gateway = comparison->role->gateway;
	return gateway && gateway_compare(gateway, &comparison->options, &comparison->cursor,
					  comparison->each, comparison->data);
}

void comparison_done(struct comparison *comparison)
{
	comparison->terms = terms_free(comparison->terms);
}

struct gateway *gateway_role_gateway(const struct gateway_role *role)
{
	return role ? role->gateway : NULL;
}
