// SPDX-License-Identifier: Apache-2.0
// A hash table of prefixes, asked once per prefix length that is in use, longest first: a typical table has two or three
// lengths, and the cost does not grow with the number of prefixes.

#include "tun/lpm.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define FAMILIES    2u
#define LENGTHS_MAX 129u // and of IPv4 33

struct slot {
	uint64_t high, low; // the address, an IPv4 one in the upper half of `high`
	uint64_t kind;	    // family and length
	void *value;	    // NULL: free
};

// What is asked for one length.
struct mask {
	uint64_t high, low;
	uint64_t kind;
};

struct lpm {
	uint64_t seed; // peers choose what they announce, but not where it hashes to
	size_t slot_mask;
	unsigned mask_count[FAMILIES];
	struct mask masks[FAMILIES][LENGTHS_MAX]; // longest first
	struct slot slots[];
};

static unsigned family_slot(uint8_t family)
{
	return family == AF_INET ? 0 : 1;
}

static void load(const struct addr *addr, uint64_t *high, uint64_t *low)
{
	memcpy(high, addr->bytes, 8);
	memcpy(low, addr->bytes + 8, 8);
	*high = be64toh(*high);
	*low = be64toh(*low);
}

static struct mask mask_of(uint8_t family, uint8_t length)
{
	struct mask mask = {.kind = (uint64_t)family_slot(family) << 8 | length};
	if (length > 0)
		mask.high = length < 64 ? ~(UINT64_MAX >> length) : UINT64_MAX;
	if (length > 64)
		mask.low = length < 128 ? ~(UINT64_MAX >> (length - 64)) : UINT64_MAX;
	return mask;
}

static const struct slot *find_slot(const struct lpm *lpm, uint64_t high, uint64_t low,
				    uint64_t kind)
{
	uint64_t h = (high ^ lpm->seed ^ kind) * UINT64_C(0x9e3779b97f4a7c15);
	h = (h ^ (h >> 32) ^ low) * UINT64_C(0xd6e8feb86659fd93);
	for (size_t i = (size_t)(h ^ (h >> 32));; i++) {
		const struct slot *slot = &lpm->slots[i & lpm->slot_mask];
		if (!slot->value || (slot->high == high && slot->low == low && slot->kind == kind))
			return slot;
	}
}

static const struct slot *find_prefix(const struct lpm *lpm, const struct prefix *prefix)
{
	uint64_t high, low;
	load(&prefix->addr, &high, &low);
	return find_slot(lpm, high, low, mask_of(prefix->addr.family, prefix->length).kind);
}

struct lpm *lpm_new(size_t count)
{
	size_t size = 16;
	while (size < count * 2)
		size *= 2;
	struct lpm *lpm = calloc(1, sizeof(*lpm) + size * sizeof(struct slot));
	if (!lpm)
		return NULL;
	lpm->slot_mask = size - 1;
	if (getrandom(&lpm->seed, sizeof(lpm->seed), GRND_NONBLOCK) < 0)
		lpm->seed = (uint64_t)(uintptr_t)lpm;
	return lpm;
}

struct lpm *lpm_free(struct lpm *lpm)
{
	free(lpm);
	return NULL;
}

// Keeps the longest first.
static void use_length(struct lpm *lpm, uint8_t family, uint8_t length)
{
	struct mask mask = mask_of(family, length);
	struct mask *masks = lpm->masks[family_slot(family)];
	unsigned *count = &lpm->mask_count[family_slot(family)];
	unsigned at = 0;
	while (at < *count && masks[at].kind > mask.kind)
		at++;
	if (at < *count && masks[at].kind == mask.kind)
		return;
	memmove(&masks[at + 1], &masks[at], (*count - at) * sizeof(mask));
	masks[at] = mask;
	++*count;
}

void *lpm_add(struct lpm *lpm, const struct prefix *prefix, void *value)
{
	struct slot *slot = (struct slot *)find_prefix(lpm, prefix);
	if (slot->value)
		return slot->value;
	load(&prefix->addr, &slot->high, &slot->low);
	slot->kind = mask_of(prefix->addr.family, prefix->length).kind;
	slot->value = value;
	use_length(lpm, prefix->addr.family, prefix->length);
	return value;
}

void *lpm_exact(const struct lpm *lpm, const struct prefix *prefix)
{
	return lpm ? find_prefix(lpm, prefix)->value : NULL;
}

// Among the masks from the one at `first` on. `ret_length` of the prefix that was found.
static void *find_from(const struct lpm *lpm, const struct addr *addr, unsigned first,
		       unsigned *ret_length)
{
	unsigned family = family_slot(addr->family);
	uint64_t high, low;
	load(addr, &high, &low);
	for (unsigned i = first; i < lpm->mask_count[family]; i++) {
		const struct mask *mask = &lpm->masks[family][i];
		void *value = find_slot(lpm, high & mask->high, low & mask->low, mask->kind)->value;
		if (value) {
			*ret_length = mask->kind & UINT8_MAX;
			return value;
		}
	}
	return NULL;
}

void *lpm_find(const struct lpm *lpm, const struct addr *addr)
{
	unsigned length;
	return lpm ? find_from(lpm, addr, 0, &length) : NULL;
}

void *lpm_find_length(const struct lpm *lpm, const struct addr *addr, unsigned *ret_length)
{
	return lpm ? find_from(lpm, addr, 0, ret_length) : NULL;
}

void *lpm_around(const struct lpm *lpm, const struct prefix *prefix)
{
	unsigned family = family_slot(prefix->addr.family);
	uint64_t kind = mask_of(prefix->addr.family, prefix->length).kind;
	unsigned first = 0, length;
	if (!lpm)
		return NULL;
	while (first < lpm->mask_count[family] && lpm->masks[family][first].kind > kind)
		first++;
	return find_from(lpm, &prefix->addr, first, &length);
}
