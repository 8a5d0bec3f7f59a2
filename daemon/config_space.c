// SPDX-License-Identifier: Apache-2.0

#include "daemon/config_space.h"

#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "daemon/config.h"
#include "daemon/config_named.h"
#include "daemon/config_read.h"
#include "server/lease.h"
#include "tun/rule.h"

#define PROFILE_POOLS_MAX 16u // of one profile

// An entry of `sites` or `clients`, and where it stands.
struct peer_place {
	const char *identity;
	const config_setting_t *at;
	unsigned position; // in config_gateway.peers
	bool site;
};

// Address space that somebody is given. Sorted by address, shorter prefixes first, every prefix stands behind those that
// hold it.
struct claim {
	const struct prefix *prefix;
	const char *identity; // NULL: a pool
	const config_setting_t *at;
	unsigned position; // pools first; the later one of two is at fault
	bool fixed;	   // one address, which may lie in a pool
	unsigned metric;   // of networks of a site
};

static void check_pool(struct config_reader *reader, const struct prefix *pool,
		       const config_setting_t *at)
{
	char text[PREFIX_TEXT_MAX];
	struct addr first;
	if (pool->addr.family == AF_UNSPEC)
		return;
	if (pool->length < 8 || pool->length > ADDR_BITS(&pool->addr) - 2)
		error_expected(config_fault(reader->errors, at, "found the pool %s",
					    prefix_text(pool, text)),
			       "an IPv4 prefix from /8 to /30 or an IPv6 prefix from /8 to /126");
	else if (!addr_add(&pool->addr, 1, &first) || !addr_assignable(&first))
		error_expected(config_fault(reader->errors, at, "no peer can have an address of %s",
					    prefix_text(pool, text)),
			       "a prefix of unicast addresses, such as a part of 10.0.0.0/8");
}

// Of one array of prefixes in a group.
static const config_setting_t *place_within(const config_setting_t *group, const char *name,
					    unsigned n)
{
	const config_setting_t *array = config_setting_get_member(group, name);
	return config_setting_get_elem((config_setting_t *)array, n);
}

static void check_routable(struct config_reader *reader, const struct prefix *prefix,
			   const config_setting_t *at)
{
	char text[PREFIX_TEXT_MAX];
	if (prefix->addr.family != AF_UNSPEC && !prefix_routable(prefix))
		error_expected(config_fault(reader->errors, at, "nobody is behind %s",
					    prefix_text(prefix, text)),
			       "a prefix that is not wholly loopback, link-local, multicast or "
			       "reserved");
}

static void check_profiles(struct config_reader *reader)
{
	const struct config_gateway *gateway = &reader->config->gateway;
	for (unsigned i = 0; i < gateway->profile_count; i++) {
		const struct config_profile *profile = &gateway->profiles[i];
		const config_setting_t *at = config_read_place(reader, "gateway.profiles", i);
		for (unsigned j = 0; j < profile->pool_count; j++)
			check_pool(reader, &profile->pools[j], place_within(at, "pools", j));
		for (unsigned j = 0; j < profile->route_count; j++)
			check_routable(reader, &profile->routes[j], place_within(at, "routes", j));
	}
}

static void check_pools(struct config_reader *reader)
{
	const struct config_gateway *gateway = &reader->config->gateway;
	for (unsigned i = 0; i < gateway->pool_count; i++)
		check_pool(reader, &gateway->pools[i],
			   config_read_place(reader, "gateway.pools", i));
	for (unsigned i = 0; i < gateway->route_count; i++)
		check_routable(reader, &gateway->routes[i],
			       config_read_place(reader, "gateway.routes", i));
}

static bool overlap(const struct prefix *a, const struct prefix *b)
{
	return prefix_covers(a, b) || prefix_covers(b, a);
}

static bool announces(const struct config_peer *peer, const struct prefix *prefix)
{
	for (unsigned i = 0; i < peer->network_count; i++)
		if (prefix_covers(&peer->networks[i], prefix))
			return true;
	return false;
}

static void check_translation(struct config_reader *reader, const struct config_peer *peer,
			      unsigned n, const config_setting_t *at)
{
	const struct config_translation *this = &peer->translations[n];
	char from[PREFIX_TEXT_MAX], to[PREFIX_TEXT_MAX];
	if (this->from.addr.family == AF_UNSPEC || this->to.addr.family == AF_UNSPEC)
		return;
	prefix_text(&this->from, from);
	prefix_text(&this->to, to);
	check_routable(reader, &this->from, at);
	if (this->from.addr.family != this->to.addr.family || this->from.length != this->to.length)
		error_expected(
			config_fault(reader->errors, at, "%s is not as large as %s", from, to),
			"two prefixes of one family and length");
	else if (!announces(peer, &this->to))
		error_expected(config_fault(reader->errors, at,
					    "%s is not among the networks of the site", to),
			       "one of \"networks\", or a part of one");
	for (unsigned i = 0; i < n; i++)
		if (overlap(&this->from, &peer->translations[i].from) ||
		    overlap(&this->to, &peer->translations[i].to))
			error_expected(config_fault(reader->errors, at,
						    "%s to %s overlaps another translation", from,
						    to),
				       "each address once");
}

static void check_sites(struct config_reader *reader, const struct peer_place *places)
{
	const struct config_gateway *gateway = &reader->config->gateway;
	for (unsigned i = 0; i < gateway->peer_count; i++) {
		const struct config_peer *peer = &gateway->peers[i];
		for (unsigned j = 0; j < peer->network_count; j++)
			check_routable(reader, &peer->networks[j],
				       place_within(places[i].at, "networks", j));
		for (unsigned j = 0; j < peer->translation_count; j++)
			check_translation(reader, peer, j,
					  place_within(places[i].at, "translate", j));
	}
}

// In the order of config_gateway.peers. NULL: there are none, or out of memory.
static struct peer_place *list_peers(struct config_reader *reader)
{
	static const char *const paths[] = {"gateway.sites", "gateway.clients"};
	const struct config_gateway *gateway = &reader->config->gateway;
	struct peer_place *places = calloc(gateway->peer_count + 1, sizeof(*places));
	unsigned n = 0;
	if (!places) {
		reader->out_of_memory = true;
		return NULL;
	}
	for (unsigned i = 0; i < reader->source_count * 2; i++) {
		const config_setting_t *list =
			config_read_find(reader->sources[i / 2], paths[i % 2]);
		int length = list && config_setting_is_list(list) ? config_setting_length(list) : 0;
		for (int j = 0; j < length && n < gateway->peer_count; j++, n++) {
			places[n].at =
				config_setting_get_elem((config_setting_t *)list, (unsigned)j);
			places[n].identity = gateway->peers[n].identity;
			places[n].position = n;
			places[n].site = i % 2 == 0;
		}
	}
	return places;
}

static int compare_peers(const void *left, const void *right)
{
	const struct peer_place *a = left, *b = right;
	int order = strcmp(a->identity ? a->identity : "", b->identity ? b->identity : "");
	if (order == 0)
		order = (int)a->site - (int)b->site;
	if (order == 0)
		order = a->position < b->position ? -1 : 1;
	return order;
}

// Sorts `peers`.
static void check_identities(struct config_reader *reader, struct peer_place *peers)
{
	unsigned count = reader->config->gateway.peer_count;
	qsort(peers, count, sizeof(*peers), compare_peers);
	for (unsigned i = 1; i < count; i++) {
		const struct peer_place *peer = &peers[i], *before = &peers[i - 1];
		if (peer->identity && before->identity && peer->site == before->site &&
		    strcmp(peer->identity, before->identity) == 0)
			config_fault_twice(reader->errors, peer->at, peer->identity, before->at,
					   peer->site ? "each identity once in \"sites\""
						      : "each identity once in \"clients\"");
	}
}

static int compare_claims(const void *left, const void *right)
{
	const struct claim *a = left, *b = right;
	int order = (int)a->prefix->addr.family - (int)b->prefix->addr.family;
	if (order == 0)
		order = memcmp(a->prefix->addr.bytes, b->prefix->addr.bytes,
			       sizeof(a->prefix->addr.bytes));
	if (order == 0)
		order = (int)a->prefix->length - (int)b->prefix->length;
	if (order == 0)
		order = (a->metric > b->metric) - (a->metric < b->metric);
	if (order == 0)
		order = a->position < b->position ? -1 : 1;
	return order;
}

// Whether both may have their space although `outer` holds `inner`.
static bool claims_agree(const struct claim *outer, const struct claim *inner)
{
	struct addr own;
	// A fixed address may come from a pool, but the first one is the gateway's.
	if (!outer->identity && inner->fixed)
		return !addr_add(&outer->prefix->addr, 1, &own) ||
		       !addr_equal(&own, &inner->prefix->addr);
	if (!outer->identity || !inner->identity || (outer->fixed && inner->fixed))
		return false;
	if (strcmp(outer->identity, inner->identity) == 0)
		return true;
	// Between sites the longer prefix decides, and between equal ones the metric.
	return !outer->fixed && !inner->fixed &&
	       (outer->prefix->length < inner->prefix->length || outer->metric != inner->metric);
}

static void fault_claims(struct config_reader *reader, const struct claim *outer,
			 const struct claim *inner)
{
	char inner_text[PREFIX_TEXT_MAX], outer_text[PREFIX_TEXT_MAX], place[CONFIG_PLACE_MAX];
	const struct claim *late = inner, *early = outer;
	if (outer->position > inner->position) {
		late = outer;
		early = inner;
	}
	struct error *error = config_fault(reader->errors, late->at, "%s overlaps %s at %s",
					   prefix_text(late->prefix, inner_text),
					   prefix_text(early->prefix, outer_text),
					   config_place_text(early->at, place));
	if (inner->fixed && outer->fixed)
		error_expected(error, "an address that nobody else has");
	else if (inner->fixed && !outer->identity)
		error_expected(error, "another address: the first of a pool is the gateway's own");
	else if (inner->fixed)
		error_expected(error, "an address outside of the networks of other peers");
	else if (inner->identity && outer->identity)
		error_expected(error, "different metrics where two sites have the same network");
	else
		error_expected(error, "pools that overlap nothing else");
}

// Prefixes nest or are disjoint, so the one to compare with is the last that holds this one; what holds that one in turn was
// compared with it.
static void check_claims(struct config_reader *reader, struct claim *claims, unsigned count)
{
	_cleanup_(freep) unsigned *holders = calloc(count + 1, sizeof(*holders));
	unsigned depth = 0;
	if (!holders) {
		reader->out_of_memory = true;
		return;
	}
	qsort(claims, count, sizeof(*claims), compare_claims);
	for (unsigned i = 0; i < count; i++) {
		while (depth && !prefix_covers(claims[holders[depth - 1]].prefix, claims[i].prefix))
			depth--;
		if (depth && !claims_agree(&claims[holders[depth - 1]], &claims[i]))
			fault_claims(reader, &claims[holders[depth - 1]], &claims[i]);
		holders[depth++] = i;
	}
}

// Appends what can be used of an array, which stands at `like.at`. Returns the new count.
static unsigned claim_array(struct claim *claims, unsigned count, const struct prefix *prefixes,
			    unsigned prefix_count, struct claim like)
{
	const config_setting_t *array = like.at;
	for (unsigned i = 0; i < prefix_count; i++) {
		if (prefixes[i].addr.family == AF_UNSPEC)
			continue;
		like.prefix = &prefixes[i];
		like.position = count;
		like.at = config_setting_get_elem((config_setting_t *)array, i);
		claims[count++] = like;
	}
	return count;
}

static bool claimed(const struct claim *claims, unsigned count, const struct prefix *prefix)
{
	for (unsigned i = 0; i < count; i++)
		if (prefix_equal(claims[i].prefix, prefix))
			return true;
	return false;
}

// Pools that no other profile has, nor the gateway for all. The claims before are of pools alone.
static unsigned claim_profiles(struct config_reader *reader, struct claim *claims, unsigned count)
{
	const struct config_gateway *gateway = &reader->config->gateway;
	for (unsigned i = 0; i < gateway->profile_count; i++) {
		const struct config_profile *profile = &gateway->profiles[i];
		const config_setting_t *at = config_read_place(reader, "gateway.profiles", i);
		for (unsigned j = 0; j < profile->pool_count && j < PROFILE_POOLS_MAX; j++) {
			const struct prefix *pool = &profile->pools[j];
			if (pool->addr.family == AF_UNSPEC || claimed(claims, count, pool))
				continue;
			claims[count] = (struct claim){
				.prefix = pool,
				.at = place_within(at, "pools", j),
				.position = count,
			};
			count++;
		}
	}
	if (count > LEASE_POOLS_MAX)
		error_expected(config_fault(reader->errors, claims[LEASE_POOLS_MAX].at,
					    "%u pools in all", count),
			       "at most %u", LEASE_POOLS_MAX);
	return count;
}

// `peers` in the order of config_gateway.peers.
static void check_space(struct config_reader *reader, const struct peer_place *peers)
{
	const struct config_gateway *gateway = &reader->config->gateway;
	size_t most = gateway->pool_count + (size_t)gateway->profile_count * PROFILE_POOLS_MAX;
	unsigned count = 0;
	for (unsigned i = 0; i < gateway->peer_count; i++)
		most += gateway->peers[i].network_count + gateway->peers[i].address_count;
	_cleanup_(freep) struct claim *claims = calloc(most + 1, sizeof(*claims));
	if (!claims) {
		reader->out_of_memory = true;
		return;
	}
	for (unsigned i = 0; i < gateway->pool_count; i++)
		if (gateway->pools[i].addr.family != AF_UNSPEC)
			claims[count++] = (struct claim){
				.prefix = &gateway->pools[i],
				.at = config_read_place(reader, "gateway.pools", i),
				.position = i,
			};
	count = claim_profiles(reader, claims, count);
	for (unsigned i = 0; i < gateway->peer_count; i++) {
		const struct config_peer *peer = &gateway->peers[i];
		struct claim like = {.identity = peer->identity, .fixed = !peers[i].site};
		like.metric = peer->metric;
		const char *name = like.fixed ? "addresses" : "networks";
		if (!peer->identity)
			continue;
		like.at = config_setting_get_member(peers[i].at, name);
		if (like.fixed)
			count = claim_array(claims, count, peer->addresses, peer->address_count,
					    like);
		else
			count = claim_array(claims, count, peer->networks, peer->network_count,
					    like);
	}
	check_claims(reader, claims, count);
}

void config_space_check(struct config_reader *reader)
{
	check_pools(reader);
	check_profiles(reader);
	_cleanup_(freep) struct peer_place *peers = list_peers(reader);
	if (!peers)
		return;
	check_sites(reader, peers);
	check_space(reader, peers);
	check_identities(reader, peers);
}

const struct rule_group *config_space_group(const struct config *config, const char *word)
{
	const struct rules *model = config->policy.model;
	for (unsigned i = 0; model && i < model->group_count; i++)
		if (model->groups[i].name && strcmp(model->groups[i].name, word) == 0)
			return &model->groups[i];
	return NULL;
}

bool config_space_uses(const struct config *config, const char *word)
{
	for (unsigned i = 0; i < config->gateway.profile_count; i++) {
		const struct config_profile *profile = &config->gateway.profiles[i];
		for (unsigned j = 0; j < profile->match_count; j++)
			if (profile->matches[j] && strcmp(profile->matches[j], word) == 0)
				return true;
	}
	return false;
}

void config_space_check_groups(struct config_reader *reader)
{
	const struct config_gateway *gateway = &reader->config->gateway;
	for (unsigned i = 0; i < gateway->profile_count; i++) {
		const config_setting_t *at = config_read_place(reader, "gateway.profiles", i);
		for (unsigned j = 0; j < gateway->profiles[i].match_count; j++) {
			const char *word = gateway->profiles[i].matches[j];
			if (!word || !config_named_is(word) ||
			    config_space_group(reader->config, word))
				continue;
			error_remedy(config_fault(reader->errors, place_within(at, "for", j),
						  "there is no \"%s\"", word),
				     "define it in policy.groups, or write an identity pattern");
		}
	}
}
