// SPDX-License-Identifier: Apache-2.0
// All prefixes in order, each behind those that hold it: what lies in one is a run of atoms that begins with its own.

#include "server/space_addr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/policy_space.h"

static int compare_addrs(const void *left, const void *right)
{
	const struct space_addr *a = left, *b = right;
	int order = (int)a->prefix.addr.family - (int)b->prefix.addr.family;
	if (order == 0)
		order = memcmp(a->prefix.addr.bytes, b->prefix.addr.bytes, 16);
	return order ? order : (int)a->prefix.length - (int)b->prefix.length;
}

// Everything, of both families, and every prefix of a word, each once.
static int list_prefixes(struct space *space)
{
	size_t most = 2, kept = 0;
	for (unsigned i = 0; i < space->net_count; i++)
		most += space->nets[i].net->prefix_count;
	space->addrs = arena_alloc(space->arena, most, sizeof(*space->addrs));
	if (!space->addrs)
		return -ENOMEM;
	space->addrs[0].prefix.addr.family = AF_INET;
	space->addrs[1].prefix.addr.family = AF_INET6;
	size_t count = 2;
	for (unsigned i = 0; i < space->net_count; i++)
		for (unsigned j = 0; j < space->nets[i].net->prefix_count; j++)
			space->addrs[count++].prefix = space->nets[i].net->prefixes[j];
	qsort(space->addrs, count, sizeof(*space->addrs), compare_addrs);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || compare_addrs(&space->addrs[kept - 1], &space->addrs[i]) != 0)
			space->addrs[kept++] = space->addrs[i];
	space->addr_count = kept;
	return 0;
}

static void find_ends(struct space *space)
{
	for (size_t i = 0; i < space->addr_count; i++) {
		size_t end = i + 1;
		while (end < space->addr_count &&
		       prefix_covers(&space->addrs[i].prefix, &space->addrs[end].prefix))
			end++;
		space->addrs[i].end = (unsigned)end;
	}
}

// Whether the prefixes directly below this one are all of it: two of one length are one of the next shorter.
static bool is_filled(const struct space *space, const struct space_addr *addr)
{
	unsigned lengths[130] = {0};
	unsigned own = addr->prefix.length;
	for (unsigned i = (unsigned)(addr - space->addrs) + 1; i < addr->end;
	     i = space->addrs[i].end)
		lengths[space->addrs[i].prefix.length]++;
	for (unsigned length = 128; length > own; length--)
		lengths[length - 1] += lengths[length] / 2;
	return lengths[own] > 0;
}

static size_t find_atom(const struct space *space, const struct prefix *prefix)
{
	const struct space_addr wanted = {.prefix = *prefix};
	const struct space_addr *found =
		bsearch(&wanted, space->addrs, space->addr_count, sizeof(wanted), compare_addrs);
	return (size_t)(found - space->addrs);
}

static int make_set(struct space *space, const struct rule_net *net, struct space_set *ret)
{
	_cleanup_(freep) bool *within = calloc(space->addr_count + 1, sizeof(bool));
	unsigned *atoms = NULL;
	if (!within)
		return -ENOMEM;
	for (unsigned i = 0; i < net->prefix_count; i++) {
		size_t at = find_atom(space, &net->prefixes[i]);
		for (size_t j = at; j < space->addrs[at].end; j++) {
			ret->count += !within[j] && !space->addrs[j].empty;
			within[j] = true;
		}
	}
	ret->atoms = atoms = arena_alloc(space->arena, ret->count + 1, sizeof(*atoms));
	if (!atoms)
		return -ENOMEM;
	for (size_t i = 0; i < space->addr_count; i++)
		if (within[i] && !space->addrs[i].empty)
			*atoms++ = (unsigned)i;
	return 0;
}

// The words of every atom.
static int list_words(struct space *space)
{
	_cleanup_(freep) unsigned *counts = calloc(space->addr_count + 1, sizeof(*counts));
	if (!counts)
		return -ENOMEM;
	for (unsigned i = 0; i < space->net_count; i++)
		for (unsigned j = 0; j < space->nets[i].set.count; j++)
			counts[space->nets[i].set.atoms[j]]++;
	for (size_t i = 0; i < space->addr_count; i++) {
		unsigned *nets = arena_alloc(space->arena, counts[i] + 1u, sizeof(*nets));
		if (!nets)
			return -ENOMEM;
		nets[counts[i]] = RULE_NONE;
		space->addrs[i].nets = nets;
	}
	for (unsigned i = 0; i < space->net_count; i++)
		for (unsigned j = 0; j < space->nets[i].set.count; j++) {
			unsigned atom = space->nets[i].set.atoms[j];
			((unsigned *)space->addrs[atom].nets)[--counts[atom]] = i;
		}
	return 0;
}

int space_addrs_make(struct space *space)
{
	int r = list_prefixes(space);
	if (r < 0)
		return r;
	find_ends(space);
	for (size_t i = 0; i < space->addr_count; i++)
		space->addrs[i].empty = is_filled(space, &space->addrs[i]);
	for (unsigned i = 0; r == 0 && i < space->net_count; i++)
		r = make_set(space, space->nets[i].net, &space->nets[i].set);
	return r < 0 ? r : list_words(space);
}
