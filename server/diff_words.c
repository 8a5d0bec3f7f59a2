// SPDX-License-Identifier: Apache-2.0
// A set of atoms is told by the names of the policies where they fit: as names, as all but names, as a name without others; otherwise
// by what is in it.

#include "server/diff_words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>

#include "base/cleanup.h"
#include "server/diff_tree.h"
#include "server/policy_diff.h"
#include "server/policy_service.h"
#include "server/policy_space.h"

#define EXAMPLES_MAX 3u

struct words {
	const struct space *space;
	void (*each)(const struct policy_change *change, void *data);
	void *data;
	bool *within; // of atoms of the set at hand
	unsigned *names;
	const struct diff_set *path[DIFF_SERVICE];
};

// One dimension: peers or addresses.
struct dimension {
	const struct space_word *words;
	unsigned word_count;
	size_t atom_count, all; // all: without empty ones
};

static struct dimension dimension_of(const struct space *space, bool peer)
{
	struct dimension dimension = {
		.words = peer ? space->groups : space->nets,
		.word_count = peer ? space->group_count : space->net_count,
		.atom_count = peer ? space->peer_count : space->addr_count,
	};
	dimension.all = dimension.atom_count;
	for (size_t i = 0; !peer && i < space->addr_count; i++)
		dimension.all -= space->addrs[i].empty;
	return dimension;
}

static bool is_inside(const bool *within, bool wanted, const struct space_set *set)
{
	for (unsigned i = 0; i < set->count; i++)
		if (within[set->atoms[i]] != wanted)
			return false;
	return set->count > 0;
}

// Names that together are just the `count` atoms of which `within` is `wanted`; words->names gets them. 0: there are none.
static unsigned find_names(const struct words *words, const struct dimension *dimension,
			   const bool *within, bool wanted, size_t count)
{
	_cleanup_(freep) bool *told = calloc(dimension->atom_count + 1, sizeof(bool));
	size_t covered = 0;
	unsigned found = 0;
	while (told && covered < count) {
		unsigned best = 0, gain = 0;
		for (unsigned i = 0; i < dimension->word_count; i++) {
			const struct space_set *set = &dimension->words[i].set;
			unsigned more = 0;
			if (set->count <= gain || !is_inside(within, wanted, set))
				continue;
			for (unsigned j = 0; j < set->count; j++)
				more += !told[set->atoms[j]];
			best = more > gain ? i : best;
			gain = more > gain ? more : gain;
		}
		if (gain == 0)
			return 0;
		words->names[found++] = best;
		covered += gain;
		for (unsigned j = 0; j < dimension->words[best].set.count; j++)
			told[dimension->words[best].set.atoms[j]] = true;
	}
	return told ? found : 0;
}

// The smallest name that has all of the set, and more. word_count: there is none.
static unsigned find_wider(const struct dimension *dimension, const bool *within, size_t count)
{
	unsigned best = dimension->word_count;
	for (unsigned i = 0; i < dimension->word_count; i++) {
		const struct space_set *set = &dimension->words[i].set;
		size_t inside = 0;
		if (set->count <= count || (best < dimension->word_count &&
					    set->count >= dimension->words[best].set.count))
			continue;
		for (unsigned j = 0; j < set->count; j++)
			inside += within[set->atoms[j]];
		best = inside == count ? i : best;
	}
	return best;
}

static void put_names(FILE *file, const struct words *words, const struct dimension *dimension,
		      unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		fprintf(file, "%s%s", i ? ", " : "", dimension->words[words->names[i]].name);
}

static void put_peers(FILE *file, const struct space *space, const struct diff_set *set)
{
	unsigned shown = 0;
	for (size_t i = 0; i < set->count && shown < EXAMPLES_MAX; i++, shown++) {
		const struct space_peer *peer = &space->peers[set->atoms[i]];
		fprintf(file, "%s%s", i ? ", " : "peers such as ",
			peer->example ? peer->example : "one of no group");
		if (peer->facts.issuer)
			fprintf(file, " by %s", peer->facts.issuer);
		if (peer->facts.unit)
			fprintf(file, " of unit %s", peer->facts.unit);
		if (peer->facts.hardware)
			fprintf(file, " with a key in hardware");
	}
	if (set->count > shown)
		fprintf(file, " and %zu other kinds", set->count - shown);
}

static void put_prefix(FILE *file, const struct space *space, unsigned atom, const char **before)
{
	char text[PREFIX_TEXT_MAX];
	fprintf(file, "%s%s", *before, prefix_text(&space->addrs[atom].prefix, text));
	*before = ", ";
}

static void put_tree(FILE *file, const struct space *space, const bool *within, unsigned atom,
		     const char **before);

static void put_below(FILE *file, const struct space *space, const bool *within, unsigned atom,
		      const char **before)
{
	for (unsigned i = atom + 1; i < space->addrs[atom].end; i = space->addrs[i].end)
		put_tree(file, space, within, i, before);
}

// A prefix without the smaller ones that are not in the set; what those have that is comes after it.
static void put_tree(FILE *file, const struct space *space, const bool *within, unsigned atom,
		     const char **before)
{
	const struct space_addr *addr = &space->addrs[atom];
	const char *without = " without ";
	bool whole = true;
	for (unsigned i = atom; i < addr->end; i++)
		whole &= within[i];
	if (!whole && (!within[atom] || addr->empty)) {
		put_below(file, space, within, atom, before);
		return;
	}
	put_prefix(file, space, atom, before);
	for (unsigned i = atom + 1; i < addr->end; i = within[i] ? i + 1 : space->addrs[i].end) {
		if (within[i])
			continue;
		put_prefix(file, space, i, &without);
		without = " and ";
	}
	for (unsigned i = atom + 1; i < addr->end; i = within[i] ? i + 1 : space->addrs[i].end)
		if (!within[i])
			put_below(file, space, within, i, before);
}

static void put_prefixes(FILE *file, const struct space *space, const bool *within)
{
	const char *before = "";
	for (unsigned i = 0; i < space->addr_count; i = space->addrs[i].end)
		put_tree(file, space, within, i, &before);
}

// "group:eng but not group:ext". false: there are no such names.
static bool put_wider(FILE *file, struct words *words, const struct dimension *dimension,
		      size_t count)
{
	unsigned wider = find_wider(dimension, words->within, count);
	_cleanup_(freep) bool *rest = calloc(dimension->atom_count + 1, sizeof(bool));
	if (!rest || wider == dimension->word_count)
		return false;
	const struct space_word *word = &dimension->words[wider];
	for (unsigned i = 0; i < word->set.count; i++)
		rest[word->set.atoms[i]] = !words->within[word->set.atoms[i]];
	unsigned found = find_names(words, dimension, rest, true, word->set.count - count);
	if (found == 0)
		return false;
	fprintf(file, "%s but not ", word->name);
	put_names(file, words, dimension, found);
	return true;
}

static void put_dimension(FILE *file, struct words *words, bool peer, const struct diff_set *set)
{
	const struct space *space = words->space;
	struct dimension dimension = dimension_of(space, peer);
	for (size_t i = 0; i < set->count; i++)
		words->within[set->atoms[i]] = true;
	unsigned count = find_names(words, &dimension, words->within, true, set->count);
	if (count > 0) {
		put_names(file, words, &dimension, count);
	} else if ((count = find_names(words, &dimension, words->within, false,
				       dimension.all - set->count)) > 0) {
		fputs(peer ? "anybody but " : "anywhere but ", file);
		put_names(file, words, &dimension, count);
	} else if (peer && !put_wider(file, words, &dimension, set->count)) {
		put_peers(file, space, set);
	} else if (!peer && !put_wider(file, words, &dimension, set->count)) {
		for (size_t i = 0; i < space->addr_count; i++)
			words->within[i] |= space->addrs[i].empty;
		put_prefixes(file, space, words->within);
	}
	memset(words->within, 0, dimension.atom_count * sizeof(bool));
}

static char *side_text(struct words *words, const struct diff_set *peers,
		       const struct diff_set *addrs)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);
	bool all_peers = peers->count == dimension_of(words->space, true).all;
	bool all_addrs = addrs->count == dimension_of(words->space, false).all;
	if (!file)
		return NULL;
	if (all_peers && all_addrs)
		fputs("any", file);
	if (!all_peers)
		put_dimension(file, words, true, peers);
	if (!all_peers && !all_addrs)
		fputs(" at ", file);
	if (!all_addrs)
		put_dimension(file, words, false, addrs);
	fclose(file);
	return text;
}

// --- services

static bool adjoins(const struct policy_interval *a, const struct policy_interval *b)
{
	return !a->others && !b->others && a->protocol == b->protocol && a->last + 1 == b->first;
}

static char *services_text(const struct words *words, const struct diff_set *set)
{
	const struct policy_interval *services = words->space->services;
	char *text = NULL, name[POLICY_SERVICE_TEXT_MAX];
	size_t size;
	FILE *file = open_memstream(&text, &size);
	if (!file)
		return NULL;
	if (set->count == words->space->service_count)
		fputs("any", file);
	for (size_t i = 0; i < set->count && set->count < words->space->service_count; i++) {
		const struct policy_interval *first = &services[set->atoms[i]];
		struct rule_service service = {.protocols = {first->protocol},
					       .first = first->first};
		while (i + 1 < set->count &&
		       adjoins(&services[set->atoms[i]], &services[set->atoms[i + 1]]))
			i++;
		service.last = services[set->atoms[i]].last;
		fprintf(file, "%s%s", ftell(file) > 0 ? ", " : "",
			first->others ? "all other protocols"
				      : policy_service_text(&service, name));
	}
	fclose(file);
	return text;
}

// --- the tree

static unsigned families(const struct space *space, const struct diff_set *addrs)
{
	unsigned found = 0;
	for (size_t i = 0; i < addrs->count; i++)
		found |= space->addrs[addrs->atoms[i]].prefix.addr.family == AF_INET ? 1 : 2;
	return found;
}

static int tell(struct words *words, const struct diff_node *leaf)
{
	// Nothing goes from IPv4 to IPv6.
	if (!(families(words->space, words->path[DIFF_FROM_ADDR]) &
	      families(words->space, words->path[DIFF_TO_ADDR])))
		return 0;
	_cleanup_(freep) char *from =
		side_text(words, words->path[DIFF_FROM_PEER], words->path[DIFF_FROM_ADDR]);
	_cleanup_(freep) char *to =
		side_text(words, words->path[DIFF_TO_PEER], words->path[DIFF_TO_ADDR]);
	_cleanup_(freep) char *gained = services_text(words, &leaf->gained);
	_cleanup_(freep) char *lost = services_text(words, &leaf->lost);
	if (!from || !to || !gained || !lost)
		return -ENOMEM;
	const struct policy_change change = {from, to, gained, lost};
	words->each(&change, words->data);
	return 0;
}

static int walk(struct words *words, const struct diff_node *node, enum diff_level level)
{
	int r = 0;
	if (level == DIFF_SERVICE)
		return tell(words, node);
	for (size_t i = 0; r == 0 && i < node->count; i++) {
		words->path[level] = &node->branches[i].set;
		r = walk(words, node->branches[i].node, level + 1);
	}
	return r;
}

int diff_words_each(const struct space *space, const struct diff_node *root,
		    void (*each)(const struct policy_change *change, void *data), void *data)
{
	size_t atoms =
		space->peer_count > space->addr_count ? space->peer_count : space->addr_count;
	size_t names = (size_t)space->group_count + space->net_count;
	_cleanup_(freep) bool *within = calloc(atoms + 1, sizeof(bool));
	_cleanup_(freep) unsigned *list = calloc(names + 1, sizeof(unsigned));
	struct words words = {.space = space, .each = each, .data = data};
	words.within = within;
	words.names = list;
	return within && list ? walk(&words, root, DIFF_FROM_PEER) : -ENOMEM;
}
