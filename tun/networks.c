// SPDX-License-Identifier: Apache-2.0
// Theory of operation: the longest prefix that holds an address decides, so what it leads to has the rules of all prefixes around it,
// too. Prefixes in the order of their addresses, shorter ones first, are a walk through a tree, with the way up on a stack. Prefixes
// that are in the same networks and within the same one lead to the same place.

#include "tun/networks.h"

#include <string.h>

#include "base/table.h"
#include "tun/lpm.h"

#define DEPTH_MAX 130u

struct item {
	struct prefix prefix;
	uint32_t net;
};

struct place {
	struct uses_sets sets;
	struct place *next;
	uint32_t number; // from 1 on
	unsigned nets;
	uint32_t key[]; // number of the place around it (0: none), and its networks
};

struct networks {
	struct lpm *lpm;
	struct place *places;
	uint32_t place_count;
};

// Which places there are, and the way to the last prefix: only while they are made.
struct builder {
	struct networks *networks;
	struct uses *uses;
	struct table *known;
	uint32_t *key; // room for one of all networks
	struct {
		struct prefix prefix;
		struct place *place;
	} stack[DEPTH_MAX];
	unsigned depth;
};

static int compare(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int order = x->prefix.addr.family - y->prefix.addr.family;
	if (order == 0)
		order = memcmp(x->prefix.addr.bytes, y->prefix.addr.bytes, 16);
	if (order == 0)
		order = x->prefix.length - y->prefix.length;
	return order ? order : (x->net > y->net) - (x->net < y->net);
}

static struct item *items_new(const struct rule_net *nets, unsigned count, size_t *ret_count)
{
	size_t all = 0;
	for (unsigned i = 0; i < count; i++)
		all += nets[i].prefix_count;
	struct item *items = calloc(all + 1, sizeof(*items));
	if (!items)
		return NULL;
	*ret_count = all;
	all = 0;
	for (unsigned i = 0; i < count; i++)
		for (unsigned n = 0; n < nets[i].prefix_count; n++)
			items[all++] = (struct item){prefix_masked(&nets[i].prefixes[n]), i};
	qsort(items, all, sizeof(*items), compare);
	return items;
}

// Of the first `nets` networks in the builder's key; NULL: out of memory.
static struct place *place_get(struct builder *builder, unsigned nets)
{
	struct networks *networks = builder->networks;
	struct place *around = builder->depth ? builder->stack[builder->depth - 1].place : NULL;
	size_t size = (1 + nets) * sizeof(uint32_t);
	builder->key[0] = around ? around->number : 0;
	struct place *place = table_find(builder->known, builder->key, size);
	if (place)
		return place;
	place = calloc(1, sizeof(*place) + size);
	if (!place)
		return NULL;
	memcpy(place->key, builder->key, size);
	place->number = ++networks->place_count;
	place->nets = nets;
	place->next = networks->places;
	networks->places = place;
	if (uses_of(builder->uses, place->key + 1, nets, around ? &around->sets : NULL,
		    &place->sets) < 0 ||
	    table_add(builder->known, place->key, size, place) < 0)
		return NULL;
	return place;
}

// One prefix, of the first items; `count` are left. Returns how many are of it; 0: out of memory.
static size_t add_prefix(struct builder *builder, const struct item *items, size_t count)
{
	const struct prefix *prefix = &items[0].prefix;
	size_t taken = 0;
	unsigned nets = 0;
	for (; taken < count && prefix_equal(&items[taken].prefix, prefix); taken++)
		if (taken == 0 || items[taken].net != items[taken - 1].net)
			builder->key[1 + nets++] = items[taken].net;
	while (builder->depth && !prefix_covers(&builder->stack[builder->depth - 1].prefix, prefix))
		builder->depth--;
	struct place *place = place_get(builder, nets);
	if (!place)
		return 0;
	builder->stack[builder->depth].prefix = *prefix;
	builder->stack[builder->depth++].place = place;
	lpm_add(builder->networks->lpm, prefix, &place->sets);
	return taken;
}

struct networks *networks_new(const struct rule_net *nets, unsigned count, struct uses *uses)
{
	_cleanup_(networks_freep) struct networks *networks = calloc(1, sizeof(*networks));
	_cleanup_(table_freep) struct table *known = table_new();
	_cleanup_(freep) uint32_t *key = calloc((size_t)count + 1, sizeof(*key));
	size_t all = 0;
	_cleanup_(freep) struct item *items = items_new(nets, count, &all);
	if (!networks || !known || !key || !items)
		return NULL;
	networks->lpm = lpm_new(all);
	if (!networks->lpm)
		return NULL;
	struct builder builder = {.networks = networks, .uses = uses, .known = known, .key = key};
	for (size_t i = 0, taken; i < all; i += taken) {
		taken = add_prefix(&builder, &items[i], all - i);
		if (taken == 0)
			return NULL;
	}
	return take(networks);
}

struct networks *networks_free(struct networks *networks)
{
	if (!networks)
		return NULL;
	while (networks->places) {
		struct place *place = networks->places;
		networks->places = place->next;
		uses_sets_done(&place->sets);
		free(place);
	}
	lpm_free(networks->lpm);
	free(networks);
	return NULL;
}

const struct uses_sets *networks_find(const struct networks *networks, const struct addr *addr)
{
	return lpm_find(networks->lpm, addr);
}
