// SPDX-License-Identifier: Apache-2.0

#include "daemon/terms.h"

#include <stdlib.h>

#include "daemon/config.h"
#include "daemon/config_space.h"
#include "tun/translate.h"

struct terms *terms_free(struct terms *terms)
{
	if (!terms)
		return NULL;
	for (unsigned i = 0; terms->peers && i < terms->peer_count; i++)
		free((void *)terms->peers[i].translations);
	announce_free(terms->announce);
	free(terms->estate.peers);
	free(terms->estate.behind);
	free(terms->peers);
	free(terms->profiles);
	free(terms->groups);
	free(terms->words);
	free(terms);
	return NULL;
}

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

// A pattern is a group of one.
static void add_groups(struct terms *terms, struct profile *profile, const struct config *config,
		       const struct config_profile *from)
{
	profile->groups = &terms->groups[terms->group_count];
	profile->group_count = from->match_count;
	for (unsigned i = 0; i < from->match_count; i++) {
		const struct rule_group *named = config_space_group(config, from->matches[i]);
		struct rule_peer *word = &terms->words[terms->group_count];
		word->identity = from->matches[i];
		terms->groups[terms->group_count++] =
			named ? *named : (struct rule_group){.peers = word, .peer_count = 1};
	}
}

static bool make_groups(struct terms *terms, const struct config_gateway *config)
{
	size_t count = 1;
	for (unsigned i = 0; i < config->profile_count; i++)
		count += config->profiles[i].match_count;
	terms->groups = calloc(count, sizeof(*terms->groups));
	terms->words = calloc(count, sizeof(*terms->words));
	return terms->groups && terms->words;
}

static struct profile make_profile(const struct config_profile *config)
{
	return (struct profile){
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

static bool make_profiles(struct terms *terms, const struct config *all)
{
	const struct config_gateway *config = &all->gateway;
	terms->profiles = calloc(config->profile_count + 1, sizeof(*terms->profiles));
	add_pools(terms, config->pools, config->pool_count);
	if (!terms->profiles || !make_groups(terms, config))
		return false;
	for (unsigned i = 0; i < config->profile_count; i++) {
		terms->profiles[i] = make_profile(&config->profiles[i]);
		add_groups(terms, &terms->profiles[i], all, &config->profiles[i]);
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
	return true;
}

static void add_all(struct prefix *list, unsigned *count, const struct prefix *more,
		    unsigned more_count)
{
	for (unsigned i = 0; i < more_count; i++)
		list[(*count)++] = more[i];
}

static int compare(const void *a, const void *b)
{
	return prefix_compare(a, b);
}

static bool make_estate(struct terms *terms, const struct config_gateway *gateway)
{
	struct estate *estate = &terms->estate;
	size_t peers = terms->pool_count, behind = gateway->route_count;
	for (unsigned i = 0; i < gateway->peer_count; i++)
		peers += gateway->peers[i].network_count + gateway->peers[i].address_count;
	for (unsigned i = 0; i < gateway->profile_count; i++)
		behind += terms->profiles[i].route_count;
	estate->peers = calloc(peers + 1, sizeof(*estate->peers));
	estate->behind = calloc(behind + 1, sizeof(*estate->behind));
	if (!estate->peers || !estate->behind)
		return false;
	for (unsigned i = 0; i < terms->pool_count; i++)
		estate->addresses[i] = lease_gateway_address(&terms->pools[i]);
	estate->address_count = terms->pool_count;
	add_all(estate->peers, &estate->peer_count, terms->pools, terms->pool_count);
	for (unsigned i = 0; i < gateway->peer_count; i++) {
		const struct config_peer *peer = &gateway->peers[i];
		add_all(estate->peers, &estate->peer_count, peer->networks, peer->network_count);
		add_all(estate->peers, &estate->peer_count, peer->addresses, peer->address_count);
	}
	qsort(estate->peers, estate->peer_count, sizeof(*estate->peers), compare);
	add_all(estate->behind, &estate->behind_count, gateway->routes, gateway->route_count);
	for (unsigned i = 0; i < gateway->profile_count; i++)
		add_all(estate->behind, &estate->behind_count, terms->profiles[i].routes,
			terms->profiles[i].route_count);
	return true;
}

struct terms *terms_new(const struct config *config)
{
	const struct config_gateway *gateway = &config->gateway;
	_cleanup_(terms_freep) struct terms *terms = calloc(1, sizeof(*terms));
	if (!terms || !make_peers(terms, gateway) || !make_profiles(terms, config) ||
	    !make_estate(terms, gateway))
		return NULL;
	struct announce_options options = {
		.pools = terms->pools,
		.pool_count = terms->pool_count,
		.routes = gateway->routes,
		.route_count = gateway->route_count,
		.peers = terms->peers,
		.peer_count = terms->peer_count,
	};
	terms->announce = announce_new(&options, MESSAGE_ROUTES_MAX);
	return terms->announce ? take(terms) : NULL;
}
