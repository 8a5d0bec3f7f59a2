// SPDX-License-Identifier: Apache-2.0
// Theory of operation: what alternatives of groups say is kept once, however many groups say it. Each stands in a hash table under
// the part of its pattern before the first "*": all of it, or nothing when it names no identity. A peer's identity is hashed byte by
// byte, and wherever some pattern's beginning is as long, the hash so far is looked up.

#include "tun/groups.h"

#include <string.h>

#include "base/table.h"
#include "pki/identity.h"
#include "tun/ruleset.h"

#define NOTHING	   UINT32_MAX
#define HASH_BEGIN UINT64_C(0xcbf29ce484222325) // FNV-1a

struct element {
	struct rule_peer peer; // in `texts`
	uint64_t hash;	       // of its beginning
	uint32_t size;	       // of the same
	uint32_t next;	       // in its slot
	uint32_t first, last;  // its groups: members[first..last)
};

struct groups {
	unsigned group_count;
	char *texts;
	struct element *elements;
	uint32_t element_count;
	uint32_t *members;
	bool used[IDENTITY_MAX + 1]; // sizes of beginnings
	uint32_t *slots;
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

static void enlist(struct groups *groups, struct element *element)
{
	element->hash = HASH_BEGIN;
	const char *c = element->peer.identity;
	for (; c && *c && *c != '*'; c++, element->size++)
		element->hash = hash_step(element->hash, *c);
	groups->used[element->size] = true;
	uint32_t *slot = &groups->slots[element->hash & groups->slot_mask];
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
	enlist(groups, own);
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

// From groups with elements to elements with groups.
static void list_members(struct groups *groups, const struct rule_group *list,
			 const uint32_t *numbers)
{
	size_t all = 0;
	for (unsigned g = 0; g < groups->group_count; g++)
		all += list[g].peer_count;
	for (size_t i = 0; i < all; i++)
		groups->elements[numbers[i]].last++;
	uint32_t at = 0;
	for (uint32_t i = 0; i < groups->element_count; i++) {
		struct element *element = &groups->elements[i];
		element->first = at;
		at += element->last;
		element->last = element->first;
	}
	for (unsigned g = 0; g < groups->group_count; g++)
		for (unsigned i = 0; i < list[g].peer_count; i++)
			groups->members[groups->elements[*numbers++].last++] = g;
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
	groups->bits = calloc(RULESET_WORDS(groups->group_count) + 1, sizeof(*groups->bits));
	groups->found = calloc((size_t)groups->group_count + 1, sizeof(*groups->found));
	return all < NOTHING && groups->texts && groups->elements && groups->members &&
	       groups->slots && groups->bits && groups->found;
}

struct groups *groups_new(const struct rule_group *list, unsigned count)
{
	_cleanup_(groups_freep) struct groups *groups = calloc(1, sizeof(*groups));
	_cleanup_(freep) uint32_t *numbers = NULL;
	size_t all;
	if (!groups)
		return NULL;
	groups->group_count = count;
	if (!reserve(groups, list, &all))
		return NULL;
	numbers = calloc(all + 1, sizeof(*numbers));
	memset(groups->slots, 0xff, (groups->slot_mask + 1) * sizeof(*groups->slots));
	if (!numbers || !list_elements(groups, list, numbers))
		return NULL;
	list_members(groups, list, numbers);
	return take(groups);
}

struct groups *groups_free(struct groups *groups)
{
	if (!groups)
		return NULL;
	free(groups->texts);
	free(groups->elements);
	free(groups->members);
	free(groups->slots);
	free(groups->bits);
	free(groups->found);
	free(groups);
	return NULL;
}

// Those whose beginning is the first `size` bytes of the identity.
static void try_beginning(struct groups *groups, uint64_t hash, uint32_t size,
			  const struct filter_peer *peer)
{
	for (uint32_t i = groups->slots[hash & groups->slot_mask]; i != NOTHING;
	     i = groups->elements[i].next) {
		const struct element *element = &groups->elements[i];
		if (element->hash != hash || element->size != size ||
		    !rule_peer_matches(&element->peer, peer))
			continue;
		for (uint32_t m = element->first; m < element->last; m++)
			ruleset_bit(groups->bits, groups->members[m]);
	}
}

unsigned groups_of(struct groups *groups, const struct filter_peer *peer, const uint32_t **ret)
{
	uint64_t hash = HASH_BEGIN;
	for (uint32_t size = 0; size <= IDENTITY_MAX; size++) {
		if (groups->used[size])
			try_beginning(groups, hash, size, peer);
		if (!peer->identity[size])
			break;
		hash = hash_step(hash, peer->identity[size]);
	}
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
