// SPDX-License-Identifier: Apache-2.0

#include "server/space_peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "server/pattern_class.h"
#include "server/policy_space.h"

#define ATTRIBUTES_MAX 8u // issuers, and units, of one class of identities that are told apart
#define ATOMS_MAX      200000u

struct entry { // of a group
	struct rule_peer peer;
	unsigned group, pattern; // RULE_NONE: any identity
};

struct peers {
	struct space *space;
	struct entry *entries;
	unsigned entry_count;
	const char **patterns;
	unsigned pattern_count;
	struct table *pattern_table, *found; // pattern; groups of an atom
	unsigned *groups;		     // of the atom that is made
	size_t room;
};

// Those of one class of identities.
struct attributes {
	const char *issuers[ATTRIBUTES_MAX], *units[ATTRIBUTES_MAX];
	unsigned issuer_count, unit_count;
	bool hardware;
};

static void peers_done(struct peers *peers)
{
	free(peers->entries);
	free(peers->patterns);
	free(peers->groups);
	table_free(peers->pattern_table);
	table_free(peers->found);
}

// The position of a pattern, equal ones being one. -ENOMEM.
static int intern(struct peers *peers, const char *pattern, unsigned *ret)
{
	const char **found = table_find(peers->pattern_table, pattern, strlen(pattern));
	*ret = found ? (unsigned)(found - peers->patterns) : peers->pattern_count;
	if (found)
		return 0;
	found = &peers->patterns[peers->pattern_count++];
	*found = pattern;
	return table_add(peers->pattern_table, pattern, strlen(pattern), (void *)found);
}

static int list_entries(struct peers *peers)
{
	const struct space *space = peers->space;
	unsigned most = 0;
	int r = 0;
	for (unsigned i = 0; i < space->group_count; i++)
		most += space->groups[i].group->peer_count;
	peers->entries = calloc(most + 1u, sizeof(*peers->entries));
	peers->patterns = calloc(most + 1u, sizeof(void *));
	peers->groups = calloc(space->group_count + 1u, sizeof(unsigned));
	if (!peers->entries || !peers->patterns || !peers->groups)
		return -ENOMEM;
	for (unsigned i = 0; i < space->group_count; i++)
		for (unsigned j = 0; r == 0 && j < space->groups[i].group->peer_count; j++) {
			const struct rule_peer *peer = &space->groups[i].group->peers[j];
			struct entry *entry = &peers->entries[peers->entry_count++];
			*entry = (struct entry){*peer, i, RULE_NONE};
			if (peer->identity)
				r = intern(peers, peer->identity, &entry->pattern);
		}
	return r;
}

// false: there are too many.
static bool add_text(const char **list, unsigned *count, const char *text)
{
	for (unsigned i = 0; i < *count; i++)
		if (strcmp(list[i], text) == 0)
			return true;
	if (*count == ATTRIBUTES_MAX)
		return false;
	list[(*count)++] = text;
	return true;
}

// Entries that may match the identities of this class. `entries` are their positions.
static void find_attributes(struct peers *peers, const unsigned *entries, unsigned count,
			    struct attributes *ret)
{
	bool all = true;
	*ret = (struct attributes){0};
	for (unsigned i = 0; i < count; i++) {
		const struct rule_peer *peer = &peers->entries[entries[i]].peer;
		if (peer->issuer)
			all &= add_text(ret->issuers, &ret->issuer_count, peer->issuer);
		if (peer->unit)
			all &= add_text(ret->units, &ret->unit_count, peer->unit);
		ret->hardware |= peer->hardware;
	}
	peers->space->cut |= !all;
}

static bool entry_matches(const struct entry *entry, const struct attributes *attributes,
			  unsigned issuer, unsigned units, bool hardware)
{
	const struct rule_peer *peer = &entry->peer;
	bool unit = !peer->unit;
	for (unsigned i = 0; i < attributes->unit_count; i++)
		unit |= (units >> i & 1) && peer->unit &&
			strcmp(attributes->units[i], peer->unit) == 0;
	bool issued = !peer->issuer || (issuer < attributes->issuer_count &&
					strcmp(attributes->issuers[issuer], peer->issuer) == 0);
	return unit && issued && (!peer->hardware || hardware);
}

static const char *unit_text(struct arena *arena, const struct attributes *attributes,
			     unsigned units)
{
	char text[256] = "";
	size_t used = 0;
	for (unsigned i = 0; i < attributes->unit_count; i++)
		if (units >> i & 1)
			used += (size_t)snprintf(text + used,
						 used < sizeof(text) ? sizeof(text) - used : 0,
						 "%s%s", used ? " and " : "", attributes->units[i]);
	return used ? arena_text(arena, text) : NULL;
}

static int compare_numbers(const void *left, const void *right)
{
	const unsigned *a = left, *b = right;
	return *a < *b ? -1 : *a > *b;
}

// An atom, unless one with the same groups is there. The table has their positions.
static int add_atom(struct peers *peers, unsigned count, const struct space_peer *peer)
{
	struct space *space = peers->space;
	unsigned kept = 0;
	if (count)
		qsort(peers->groups, count, sizeof(unsigned), compare_numbers);
	for (unsigned i = 0; i < count; i++)
		if (kept == 0 || peers->groups[kept - 1] != peers->groups[i])
			peers->groups[kept++] = peers->groups[i];
	if (kept == 0 || table_find(peers->found, peers->groups, kept * sizeof(unsigned)))
		return 0;
	if (space->peer_count == ATOMS_MAX) {
		space->cut = true;
		return 0;
	}
	unsigned *groups = arena_alloc(space->arena, kept + 1u, sizeof(*groups));
	if (!groups)
		return -ENOMEM;
	memcpy(groups, peers->groups, kept * sizeof(*groups));
	groups[kept] = RULE_NONE;
	if (space->peer_count == peers->room) {
		struct space_peer *grown =
			arena_alloc(space->arena, peers->room * 2, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		memcpy(grown, space->peers, space->peer_count * sizeof(*grown));
		space->peers = grown;
		peers->room *= 2;
	}
	space->peers[space->peer_count] = *peer;
	space->peers[space->peer_count++].groups = groups;
	return table_add(peers->found, groups, kept * sizeof(unsigned), groups);
}

// All that certificates of these identities can say.
static int add_class(struct peers *peers, const char *example, const unsigned *entries,
		     unsigned count)
{
	struct attributes attributes;
	int r = 0;
	find_attributes(peers, entries, count, &attributes);
	unsigned units = 1u << attributes.unit_count, issuers = attributes.issuer_count + 1;
	unsigned combinations = units * issuers * (attributes.hardware ? 2 : 1);
	for (unsigned i = 0; r == 0 && i < combinations; i++) {
		unsigned unit = i % units, issuer = i / units % issuers;
		bool hardware = i / units / issuers;
		unsigned found = 0;
		struct space_peer peer = {.example = example};
		for (unsigned j = 0; j < count; j++)
			if (entry_matches(&peers->entries[entries[j]], &attributes, issuer, unit,
					  hardware) &&
			    (found == 0 ||
			     peers->groups[found - 1] != peers->entries[entries[j]].group))
				peers->groups[found++] = peers->entries[entries[j]].group;
		peer.facts.hardware = hardware;
		peer.facts.issuer =
			issuer < attributes.issuer_count ? attributes.issuers[issuer] : NULL;
		peer.facts.unit = unit_text(peers->space->arena, &attributes, unit);
		r = add_atom(peers, found, &peer);
	}
	return r;
}

// Entries by their pattern: those of pattern n are items[starts[n]..starts[n + 1]), those without one come last.
struct index {
	unsigned *starts, *items;
};

static void index_done(struct index *index)
{
	free(index->starts);
	free(index->items);
}

static unsigned slot_of(const struct peers *peers, const struct entry *entry)
{
	return entry->pattern == RULE_NONE ? peers->pattern_count : entry->pattern;
}

static int index_entries(const struct peers *peers, struct index *ret)
{
	ret->starts = calloc(peers->pattern_count + 3, sizeof(unsigned));
	ret->items = calloc(peers->entry_count + 1, sizeof(unsigned));
	if (!ret->starts || !ret->items)
		return -ENOMEM;
	for (unsigned i = 0; i < peers->entry_count; i++)
		ret->starts[slot_of(peers, &peers->entries[i]) + 2]++;
	for (unsigned i = 1; i < peers->pattern_count + 3; i++)
		ret->starts[i] += ret->starts[i - 1];
	for (unsigned i = 0; i < peers->entry_count; i++)
		ret->items[ret->starts[slot_of(peers, &peers->entries[i]) + 1]++] = i;
	return 0;
}

static unsigned copy_entries(const struct index *index, unsigned slot, unsigned *to)
{
	unsigned count = index->starts[slot + 1] - index->starts[slot];
	if (count)
		memcpy(to, &index->items[index->starts[slot]], count * sizeof(*to));
	return count;
}

static int add_classes(struct peers *peers)
{
	_cleanup_(index_done) struct index index = {0};
	_cleanup_(freep) unsigned *entries = calloc(peers->entry_count + 1, sizeof(unsigned));
	struct pattern_class *classes = NULL;
	size_t count = 0;
	bool cut = false;
	int r = entries ? index_entries(peers, &index) : -ENOMEM;
	if (r == 0)
		r = pattern_classes(peers->patterns, peers->pattern_count, peers->space->arena,
				    &classes, &count, &cut);
	if (r < 0)
		return r;
	peers->space->cut |= cut;
	for (size_t i = 0; r == 0 && i <= count; i++) {
		unsigned found = copy_entries(&index, peers->pattern_count, entries);
		for (unsigned j = 0; i < count && j < classes[i].count; j++)
			found += copy_entries(&index, classes[i].patterns[j], entries + found);
		if (found)
			qsort(entries, found, sizeof(*entries), compare_numbers);
		r = add_class(peers, i < count ? classes[i].example : "any other identity", entries,
			      found);
	}
	return r;
}

// The words as sets, from the groups of the atoms.
static int make_sets(struct space *space)
{
	_cleanup_(freep) unsigned **lists = calloc(space->group_count + 1, sizeof(unsigned *));
	if (!lists)
		return -ENOMEM;
	for (size_t i = 1; i < space->peer_count; i++)
		for (const unsigned *group = space->peers[i].groups; *group != RULE_NONE; group++)
			space->groups[*group].set.count++;
	for (unsigned i = 0; i < space->group_count; i++) {
		struct space_set *set = &space->groups[i].set;
		set->atoms = lists[i] = arena_alloc(space->arena, set->count + 1, sizeof(unsigned));
		if (!lists[i])
			return -ENOMEM;
	}
	for (size_t i = 1; i < space->peer_count; i++)
		for (const unsigned *group = space->peers[i].groups; *group != RULE_NONE; group++)
			*lists[*group]++ = (unsigned)i;
	return 0;
}

int space_peers_make(struct space *space)
{
	static const unsigned none[] = {RULE_NONE};
	_cleanup_(peers_done) struct peers peers = {.space = space, .room = 64};
	peers.pattern_table = table_new();
	peers.found = table_new();
	space->peers = arena_alloc(space->arena, peers.room, sizeof(*space->peers));
	if (!peers.pattern_table || !peers.found || !space->peers)
		return -ENOMEM;
	space->peers[space->peer_count++].groups = none;
	int r = list_entries(&peers);
	if (r == 0)
		r = add_classes(&peers);
	return r < 0 ? r : make_sets(space);
}
