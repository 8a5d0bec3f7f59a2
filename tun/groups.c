// SPDX-License-Identifier: Apache-2.0
// Theory of operation: what alternatives of groups say is kept once, however many groups say it, and so are equal groups. Each
// alternative stands in a hash table under one part of it that a peer must have: a segment of the identity at its place, up to the first
// "*" (or its end); without an identity a unit; else the issuer. Of the segments it is the one that the fewest others have. A peer's
// identity is hashed segment by segment, byte by byte, and wherever some part is as long, the hash so far is looked up.

#include "tun/groups.h"

#include <string.h>

#include "base/table.h"
#include "pki/identity.h"
#include "tun/ruleset.h"

#define NOTHING	   UINT32_MAX
#define HASH_BEGIN UINT64_C(0xcbf29ce484222325) // FNV-1a

// Where a part is that has no place in the identity.
enum { AT_UNIT = 1 << 16, AT_ISSUER, AT_NOTHING };

struct part {
	uint64_t hash; // with its place
	uint32_t size;
};

struct element {
	struct rule_peer peer; // in `texts`
	struct part part;
	uint32_t next;	      // in its slot
	uint32_t first, last; // its groups: members[first..last)
};

struct groups {
	unsigned group_count;
	char *texts;
	struct element *elements;
	uint32_t element_count;
	uint32_t *members;
	uint32_t *same;		     // by group
	bool used[IDENTITY_MAX + 2]; // sizes of parts of identities
	uint32_t *slots;
	uint32_t *counts; // of parts, by slot: how rare they are, more or less
	size_t slot_mask;
	// Of groups_of(); the bits are zero between calls.
	uint64_t *bits;
	uint32_t *found;
};

static uint64_t hash_step(uint64_t hash, char c)
{
	return (hash ^ (uint8_t)c) * UINT64_C(0x100000001b3);
}

static size_t text_size(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

// The texts of an alternative one after the other, after a byte that says which there are: equal for equal ones.
static size_t write_key(const struct rule_peer *peer, char *key, struct rule_peer *ret)
{
	const char *from[] = {peer->identity, peer->issuer, peer->unit};
	const char **to[] = {&ret->identity, &ret->issuer, &ret->unit};
	size_t at = 1;
	key[0] = peer->hardware;
	ret->hardware = peer->hardware;
	for (unsigned i = 0; i < 3; i++) {
		*to[i] = from[i] ? key + at : NULL;
		if (!from[i])
			continue;
		key[0] |= (char)(2 << i);
		memcpy(key + at, from[i], text_size(from[i]));
		at += text_size(from[i]);
	}
	return at;
}

static struct part part_begin(uint32_t at)
{
	return (struct part){.hash = hash_step(HASH_BEGIN, (char)at) ^ (uint64_t)at << 32};
}

static void part_add(struct part *part, char c)
{
	part->hash = hash_step(part->hash, c);
	part->size++;
}

static struct part part_of_text(uint32_t at, const char *text)
{
	struct part part = part_begin(at);
	for (; *text; text++)
		part_add(&part, *text);
	return part;
}

// Of the segment of a pattern at *text; a slash ends one without wildcards. Moves on to the next, or to NULL.
static struct part part_of_segment(uint32_t at, const char **text)
{
	struct part part = part_begin(at);
	const char *c = *text;
	for (; *c && *c != '/' && *c != '*'; c++)
		part_add(&part, *c);
	if (*c != '*')
		part_add(&part, '/');
	c = strchr(c, '/');
	*text = c ? c + 1 : NULL;
	return part;
}

static const char *first_segment(const char *identity)
{
	const char *domain;
	identity_domain(identity, &domain);
	return domain;
}

static void count_parts(struct groups *groups, const char *identity)
{
	const char *text = first_segment(identity);
	for (uint32_t at = 0; text; at++)
		groups->counts[part_of_segment(at, &text).hash & groups->slot_mask]++;
}

static struct part rarest_part(const struct groups *groups, const char *identity)
{
	struct part rarest = {0};
	uint32_t least = UINT32_MAX;
	const char *text = first_segment(identity);
	for (uint32_t at = 0; text; at++) {
		struct part part = part_of_segment(at, &text);
		uint32_t count = groups->counts[part.hash & groups->slot_mask];
		if (count <= least) {
			least = count;
			rarest = part;
		}
	}
	return rarest;
}

static void enlist(struct groups *groups, struct element *element)
{
	const struct rule_peer *peer = &element->peer;
	if (peer->identity) {
		element->part = rarest_part(groups, peer->identity);
		groups->used[element->part.size] = true;
	} else if (peer->unit) {
		element->part = part_of_text(AT_UNIT, peer->unit);
	} else if (peer->issuer) {
		element->part = part_of_text(AT_ISSUER, peer->issuer);
	} else {
		element->part = part_begin(AT_NOTHING);
	}
	uint32_t *slot = &groups->slots[element->part.hash & groups->slot_mask];
	element->next = *slot;
	*slot = (uint32_t)(element - groups->elements);
}

// The element that says the same; `text` is where the texts of a new one go, and moves behind them. NULL: out of memory.
static const struct element *element_get(struct groups *groups, struct table *known,
					 const struct rule_peer *peer, char **text)
{
	struct element *own = &groups->elements[groups->element_count];
	size_t size = write_key(peer, *text, &own->peer);
	const struct element *element = table_find(known, *text, size);
	if (element)
		return element;
	if (table_add(known, *text, size, own) < 0)
		return NULL;
	if (own->peer.identity)
		count_parts(groups, own->peer.identity);
	groups->element_count++;
	*text += size;
	return own;
}

// Which element each alternative is, all groups' in a row. `ret` has room for them.
static bool list_elements(struct groups *groups, const struct rule_group *list, uint32_t *ret)
{
	_cleanup_(table_freep) struct table *known = table_new();
	char *text = groups->texts;
	for (unsigned g = 0; known && g < groups->group_count; g++) {
		for (unsigned i = 0; i < list[g].peer_count; i++) {
			const struct element *element =
				element_get(groups, known, &list[g].peers[i], &text);
			if (!element)
				return false;
			*ret++ = (uint32_t)(element - groups->elements);
		}
	}
	return known != NULL;
}

static int compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

// Which groups are equal; the numbers of each are sorted, and what is twice among them goes to the end. `counts` gets how many are left.
static bool find_same(struct groups *groups, const struct rule_group *list, uint32_t *numbers,
		      uint32_t *counts)
{
	_cleanup_(table_freep) struct table *known = table_new();
	for (uint32_t g = 0; known && g < groups->group_count; numbers += list[g++].peer_count) {
		uint32_t count = 0;
		qsort(numbers, list[g].peer_count, sizeof(*numbers), compare);
		for (unsigned i = 0; i < list[g].peer_count; i++)
			if (count == 0 || numbers[i] != numbers[count - 1])
				numbers[count++] = numbers[i];
		counts[g] = count;
		uint32_t *first = table_find(known, numbers, count * sizeof(*numbers));
		groups->same[g] = first ? (uint32_t)(first - groups->same) : g;
		if (!first &&
		    table_add(known, numbers, count * sizeof(*numbers), &groups->same[g]) < 0)
			return false;
	}
	return known != NULL;
}

// From groups with elements to elements with groups.
static void list_members(struct groups *groups, const struct rule_group *list,
			 const uint32_t *numbers, const uint32_t *counts)
{
	const uint32_t *own = numbers;
	for (unsigned g = 0; g < groups->group_count; own += list[g++].peer_count)
		for (unsigned i = 0; groups->same[g] == g && i < counts[g]; i++)
			groups->elements[own[i]].last++;
	uint32_t at = 0;
	for (uint32_t i = 0; i < groups->element_count; i++) {
		struct element *element = &groups->elements[i];
		element->first = at;
		at += element->last;
		element->last = element->first;
	}
	own = numbers;
	for (unsigned g = 0; g < groups->group_count; own += list[g++].peer_count)
		for (unsigned i = 0; groups->same[g] == g && i < counts[g]; i++)
			groups->members[groups->elements[own[i]].last++] = g;
}

static bool reserve(struct groups *groups, const struct rule_group *list, size_t *ret_all)
{
	size_t all = 0, texts = 0, slots = 16;
	for (unsigned g = 0; g < groups->group_count; g++) {
		all += list[g].peer_count;
		for (unsigned i = 0; i < list[g].peer_count; i++) {
			const struct rule_peer *peer = &list[g].peers[i];
			texts += 1 + text_size(peer->identity) + text_size(peer->issuer) +
				 text_size(peer->unit);
		}
	}
	while (slots < all * 2)
		slots *= 2;
	*ret_all = all;
	groups->slot_mask = slots - 1;
	groups->texts = malloc(texts + 1);
	groups->elements = calloc(all + 1, sizeof(*groups->elements));
	groups->members = calloc(all + 1, sizeof(*groups->members));
	groups->slots = malloc(slots * sizeof(*groups->slots));
	groups->counts = calloc(slots, sizeof(*groups->counts));
	groups->same = calloc((size_t)groups->group_count + 1, sizeof(*groups->same));
	groups->bits = calloc(RULESET_WORDS(groups->group_count) + 1, sizeof(*groups->bits));
	groups->found = calloc((size_t)groups->group_count + 1, sizeof(*groups->found));
	return all < NOTHING && groups->texts && groups->elements && groups->members &&
	       groups->slots && groups->counts && groups->same && groups->bits && groups->found;
}

struct groups *groups_new(const struct rule_group *list, unsigned count)
{
	_cleanup_(groups_freep) struct groups *groups = calloc(1, sizeof(*groups));
	_cleanup_(freep) uint32_t *numbers = NULL;
	_cleanup_(freep) uint32_t *counts = calloc((size_t)count + 1, sizeof(*counts));
	size_t all;
	if (!groups)
		return NULL;
	groups->group_count = count;
	if (!reserve(groups, list, &all))
		return NULL;
	numbers = calloc(all + 1, sizeof(*numbers));
	memset(groups->slots, 0xff, (groups->slot_mask + 1) * sizeof(*groups->slots));
	if (!numbers || !counts || !list_elements(groups, list, numbers) ||
	    !find_same(groups, list, numbers, counts))
		return NULL;
	for (uint32_t i = 0; i < groups->element_count; i++)
		enlist(groups, &groups->elements[i]);
	list_members(groups, list, numbers, counts);
	return take(groups);
}

struct groups *groups_free(struct groups *groups)
{
	if (!groups)
		return NULL;
	free(groups->texts);
	free(groups->elements);
	free(groups->members);
	free(groups->same);
	free(groups->slots);
	free(groups->counts);
	free(groups->bits);
	free(groups->found);
	free(groups);
	return NULL;
}

const uint32_t *groups_same(const struct groups *groups)
{
	return groups->same;
}

static void try_part(struct groups *groups, struct part part, const struct filter_peer *peer)
{
	for (uint32_t i = groups->slots[part.hash & groups->slot_mask]; i != NOTHING;
	     i = groups->elements[i].next) {
		const struct element *element = &groups->elements[i];
		if (element->part.hash != part.hash || element->part.size != part.size ||
		    !rule_peer_matches(&element->peer, peer))
			continue;
		for (uint32_t m = element->first; m < element->last; m++)
			ruleset_bit(groups->bits, groups->members[m]);
	}
}

// Its segments, and how each begins.
static void try_identity(struct groups *groups, const struct filter_peer *peer)
{
	uint32_t at = 0;
	struct part part = part_begin(at);
	for (const char *c = first_segment(peer->identity);; c++) {
		if (groups->used[part.size])
			try_part(groups, part, peer);
		bool end = *c == '/' || *c == '\0';
		part_add(&part, end ? '/' : *c);
		if (!end)
			continue;
		if (groups->used[part.size])
			try_part(groups, part, peer);
		if (*c == '\0')
			break;
		part = part_begin(++at);
	}
}

unsigned groups_of(struct groups *groups, const struct filter_peer *peer, const uint32_t **ret)
{
	try_identity(groups, peer);
	for (unsigned i = 0; i < peer->unit_count; i++)
		try_part(groups, part_of_text(AT_UNIT, peer->units[i]), peer);
	if (peer->issuer)
		try_part(groups, part_of_text(AT_ISSUER, peer->issuer), peer);
	try_part(groups, part_begin(AT_NOTHING), peer);
	unsigned count = 0;
	for (size_t i = 0; i < RULESET_WORDS(groups->group_count); i++) {
		for (uint64_t left = groups->bits[i]; left; left &= left - 1)
			groups->found[count++] =
				(uint32_t)(i * 64) + (uint32_t)__builtin_ctzll(left);
		groups->bits[i] = 0;
	}
	*ret = groups->found;
	return count;
}
