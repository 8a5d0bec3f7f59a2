// SPDX-License-Identifier: Apache-2.0

#include "daemon/config_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "daemon/config.h"
#include "daemon/config_read.h"
#include "daemon/config_trust.h"

// The kernel's own tables: default, main, local (linux/rtnetlink.h).
#define TABLE_RESERVED_MIN 253u
#define TABLE_RESERVED_MAX 255u

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
};

static void check_interface(struct config_reader *reader)
{
	static const char *const taken[] = {"lo", "all", "default"};
	const struct config_interface *interface = &reader->config->interface;
	const config_setting_t *at = config_read_place(reader, "interface.name", 0);
	for (size_t i = 0; at && i < sizeof(taken) / sizeof(taken[0]); i++)
		if (interface->name && strcmp(interface->name, taken[i]) == 0)
			error_expected(config_fault(reader->errors, at,
						    "\"%s\" belongs to the kernel", taken[i]),
				       "another name such as \"mutun0\"");
	at = config_read_place(reader, "interface.table", 0);
	if (at && interface->table >= TABLE_RESERVED_MIN && interface->table <= TABLE_RESERVED_MAX)
		error_expected(config_fault(reader->errors, at, "table %u belongs to the host",
					    interface->table),
			       "a number other than %u to %u", TABLE_RESERVED_MIN,
			       TABLE_RESERVED_MAX);
}

static void check_control(struct config_reader *reader)
{
	const char *path = reader->config->control_socket;
	const config_setting_t *at = config_read_place(reader, "control.socket", 0);
	size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
	if (at && path && strlen(path) > most)
		error_expected(config_fault(reader->errors, at,
					    "the path of the socket has %zu characters",
					    strlen(path)),
			       "at most %zu", most);
}

static void fault_twice(struct config_reader *reader, const config_setting_t *at, const char *what,
			const config_setting_t *first, const char *expected)
{
	char place[CONFIG_PLACE_MAX];
	error_expected(config_fault(reader->errors, at, "\"%s\" stands at %s already", what,
				    config_place_text(first, place)),
		       "%s", expected);
}

static void check_links(struct config_reader *reader)
{
	const struct config *config = reader->config;
	for (unsigned i = 0; i < config->link_count; i++) {
		const char *name = config->links[i].name;
		if (!name)
			continue;
		const config_setting_t *at = config_read_place(reader, "links", i);
		// What the gateway role itself adds to the host goes by this name.
		if (strcmp(name, "gateway") == 0)
			error_expected(config_fault(reader->errors, at,
						    "the name \"gateway\" is reserved"),
				       "another name");
		for (unsigned j = 0; j < i; j++) {
			if (!config->links[j].name || strcmp(config->links[j].name, name) != 0)
				continue;
			fault_twice(reader, at, name, config_read_place(reader, "links", j),
				    "a different name for every link");
			break;
		}
	}
}

static void check_federation(struct config_reader *reader)
{
	const struct config_node *node = &reader->config->node;
	for (unsigned i = 0; i < node->federation_count; i++) {
		const char *domain = node->federation[i].domain;
		for (unsigned j = 0; domain && j < i; j++) {
			const char *other = node->federation[j].domain;
			if (!other || strcmp(other, domain) != 0)
				continue;
			fault_twice(reader, config_read_place(reader, "node.federation", i), domain,
				    config_read_place(reader, "node.federation", j),
				    "each trust domain once");
			break;
		}
	}
}

static void check_listen(struct config_reader *reader)
{
	const struct config_gateway *gateway = &reader->config->gateway;
	char text[ENDPOINT_TEXT_MAX];
	for (unsigned i = 0; i < gateway->listen_count; i++) {
		const struct endpoint *listen = &gateway->listen[i];
		for (unsigned j = 0; listen->port && j < i; j++) {
			if (!endpoint_equal(listen, &gateway->listen[j]))
				continue;
			fault_twice(reader, config_read_place(reader, "gateway.listen", i),
				    endpoint_text(listen, text),
				    config_read_place(reader, "gateway.listen", j),
				    "each endpoint once");
			break;
		}
	}
}

static void check_pools(struct config_reader *reader)
{
	const struct config_gateway *gateway = &reader->config->gateway;
	for (unsigned i = 0; i < gateway->pool_count; i++) {
		const struct prefix *pool = &gateway->pools[i];
		const config_setting_t *at = config_read_place(reader, "gateway.pools", i);
		char text[PREFIX_TEXT_MAX];
		struct addr first;
		if (pool->addr.family == AF_UNSPEC)
			continue;
		if (pool->length < 8 || pool->length > ADDR_BITS(&pool->addr) - 2)
			error_expected(
				config_fault(reader->errors, at, "found the pool %s",
					     prefix_text(pool, text)),
				"an IPv4 prefix from /8 to /30 or an IPv6 prefix from /8 to /126");
		else if (!addr_add(&pool->addr, 1, &first) || !addr_assignable(&first))
			error_expected(
				config_fault(reader->errors, at,
					     "no peer can have an address of %s",
					     prefix_text(pool, text)),
				"a prefix of unicast addresses, such as a part of 10.0.0.0/8");
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
			fault_twice(reader, peer->at, peer->identity, before->at,
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
	return strcmp(outer->identity, inner->identity) == 0;
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
	else
		error_expected(error,
			       "pools and the networks of different peers that do not overlap");
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

// `peers` in the order of config_gateway.peers.
static void check_space(struct config_reader *reader, const struct peer_place *peers)
{
	const struct config_gateway *gateway = &reader->config->gateway;
	size_t most = gateway->pool_count;
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
	for (unsigned i = 0; i < gateway->peer_count; i++) {
		const struct config_peer *peer = &gateway->peers[i];
		struct claim like = {.identity = peer->identity, .fixed = !peers[i].site};
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

// Whether something is set, be it right or wrong.
static bool anything_to_do(const struct config_reader *reader)
{
	for (unsigned i = 0; i < reader->source_count; i++) {
		const config_setting_t *links = config_read_find(reader->sources[i], "links");
		if (links && (!config_setting_is_list(links) || config_setting_length(links) > 0))
			return true;
	}
	return reader->config->gateway.enabled;
}

static void check_lists(struct config_reader *reader)
{
	const struct config_revocation *revocation = &reader->config->revocation;
	for (unsigned i = 0; i < revocation->list_count; i++) {
		const struct config_list *list = &revocation->lists[i];
		const config_setting_t *at = config_read_place(reader, "revocation.lists", i);
		if (!config_setting_is_group(at))
			continue;
		if (!config_setting_get_member(at, "file") == !config_setting_get_member(at, "url"))
			error_expected(
				config_fault(reader->errors, at, "a list comes from one place"),
				"either \"file\" or \"url\"");
		if (list->refresh_min_s > list->refresh_max_s)
			error_expected(config_fault(reader->errors, at,
						    "refresh_min is %u, refresh_max %u",
						    list->refresh_min_s, list->refresh_max_s),
				       "no less than refresh_min");
	}
}

void config_check(struct config_reader *reader)
{
	check_interface(reader);
	check_control(reader);
	check_federation(reader);
	config_trust_check(reader);
	check_links(reader);
	check_lists(reader);
	check_listen(reader);
	check_pools(reader);
	_cleanup_(freep) struct peer_place *peers = list_peers(reader);
	if (peers) {
		check_space(reader, peers);
		check_identities(reader, peers);
	}
	if (!anything_to_do(reader) && !reader->broken)
		error_remedy(config_fault_line(reader->errors, reader->sources[0], 0,
					       "nothing to do: neither \"gateway\" nor \"links\" "
					       "is set"),
			     "add a group \"gateway\" or a list \"links\"");
}
