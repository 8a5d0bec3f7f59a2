// SPDX-License-Identifier: Apache-2.0
// Theory of operation: a hash table of prefixes, asked once per prefix length that is in use, longest first: a typical table has two or
// three lengths, and the cost does not grow with the number of prefixes.
//
// A slot gets its prefix once; what changes is its value. So readers need no more than the order of two stores, and a prefix that is
// removed keeps its slot. Once more than half of the slots are taken, others are filled beside them with what is there, some with each
// change, and take their place when they have all of it: no change ever works on the whole table. Meanwhile changes are made in both.

#include "tun/lpm.h"

#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/rcu.h"

#define FAMILIES    2u
#define BITS	    128u
#define WORDS	    3u // of 64 bits, for 0..128
#define SLOTS_LEAST 16u
#define SPARSE	    16u // slots for a prefix; where there are more, fewer will do
#define STEP	    16u // slots that are moved with each change
#define ONES	    UINT64_MAX

struct key {
	uint64_t high, low; // the address, an IPv4 one in the upper half of `high`
	uint64_t kind;	    // how many of 128 bits are the host's, the family, and a bit: never 0
};

struct slot {
	uint64_t high, low;
	_Atomic uint64_t kind; // 0: the slot is free
	_Atomic(void *) value; // NULL: the prefix is not there any more
};

struct slots {
	size_t size;  // a power of two
	size_t taken; // the writer's, like the rest
	void **own;   // beside `at`
	struct slot at[];
};

struct lpm {
	_Atomic(struct slots *) slots;
	// Bits by the host's share of an address: there are such prefixes.
	_Atomic uint64_t used[FAMILIES][WORDS];
	uint64_t seed; // peers choose what they announce, but not where it hashes to
	struct mask {
		uint64_t high, low;
	} masks[BITS + 1]; // of the network, by the host's share

	// The writer's.
	struct slots *next; // are being filled; NULL: these will do
	size_t moved;	    // slots whose prefixes are in the next ones, too
	size_t count;	    // prefixes that are there
	size_t room;	    // for prefixes that were not there yet: what lpm_reserve() has promised
	size_t counts[FAMILIES][BITS + 1]; // as in `used`
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

static uint64_t kind_of(unsigned family, unsigned host)
{
	return 1u << 9 | family << 8 | host;
}

static struct key key_of(const struct prefix *prefix)
{
	struct key key;
	load(&prefix->addr, &key.high, &key.low);
	key.kind = kind_of(family_slot(prefix->addr.family), BITS - prefix->length);
	return key;
}

// --- slots

// At most half of them taken by `count` prefixes.
static size_t size_for(size_t count)
{
	size_t size = SLOTS_LEAST;
	while (size < count * 2)
		size *= 2;
	return size;
}

static struct slots *slots_new(size_t size)
{
	struct slots *slots =
		calloc(1, sizeof(*slots) + size * (sizeof(struct slot) + sizeof(void *)));
	if (!slots)
		return NULL;
	slots->size = size;
	slots->own = (void **)&slots->at[size];
	return slots;
}

static bool is_full(const struct slots *slots)
{
	return slots->taken > slots->size / 2;
}

// Until the next ones are there it may be fuller than that.
static bool have_room(const struct slots *slots, size_t more)
{
	return slots->taken + more <= slots->size / 4 * 3;
}

static size_t hash(uint64_t seed, const struct key *key)
{
	uint64_t h = (key->high ^ seed ^ key->kind) * UINT64_C(0x9e3779b97f4a7c15);
	h = (h ^ (h >> 32) ^ key->low) * UINT64_C(0xd6e8feb86659fd93);
	return (size_t)(h ^ (h >> 32));
}

static bool is_of(const struct slot *slot, uint64_t kind, const struct key *key)
{
	return slot->high == key->high && slot->low == key->low && kind == key->kind;
}

static void *value_of(const struct slot *slot)
{
	return atomic_load_explicit(&slot->value, memory_order_acquire);
}

// The writer's: where the prefix is, or may be.
static size_t find_slot(const struct slots *slots, uint64_t seed, const struct key *key)
{
	for (size_t i = hash(seed, key);; i++) {
		const struct slot *slot = &slots->at[i & (slots->size - 1)];
		uint64_t kind = atomic_load_explicit(&slot->kind, memory_order_relaxed);
		if (!kind || is_of(slot, kind, key))
			return i & (slots->size - 1);
	}
}

// A prefix that is not there does not take a slot for not being there.
static void set_slot(struct slots *slots, size_t at, const struct key *key, void *value, void *own)
{
	struct slot *slot = &slots->at[at];
	bool is_free = !atomic_load_explicit(&slot->kind, memory_order_relaxed);
	if (is_free && !value)
		return;
	atomic_store_explicit(&slot->value, value, memory_order_release);
	if (own || !is_free)
		slots->own[at] = own;
	if (!is_free)
		return;
	slot->high = key->high;
	slot->low = key->low;
	atomic_store_explicit(&slot->kind, key->kind, memory_order_release);
	slots->taken++;
}

// --- the writer

static struct mask mask_of(unsigned host)
{
	struct mask mask = {.high = ONES, .low = 0};
	if (host < 64)
		mask.low = ONES << host;
	else if (host > 64)
		mask.high = host < BITS ? ONES << (host - 64) : 0;
	return mask;
}

struct lpm *lpm_new(size_t count)
{
	_cleanup_(lpm_freep) struct lpm *lpm = calloc(1, sizeof(*lpm));
	struct slots *slots = lpm ? slots_new(size_for(count)) : NULL;
	if (!slots)
		return NULL;
	atomic_store(&lpm->slots, slots);
	for (unsigned host = 0; host <= BITS; host++)
		lpm->masks[host] = mask_of(host);
	lpm->room = count;
	if (getrandom(&lpm->seed, sizeof(lpm->seed), GRND_NONBLOCK) < 0)
		lpm->seed = (uint64_t)(uintptr_t)lpm;
	return take(lpm);
}

struct lpm *lpm_free(struct lpm *lpm)
{
	if (!lpm)
		return NULL;
	free(lpm->next);
	free(atomic_load(&lpm->slots));
	free(lpm);
	return NULL;
}

static struct slots *slots_of(const struct lpm *lpm)
{
	return atomic_load_explicit(&lpm->slots, memory_order_relaxed);
}

// Not so small that they are full soon, nor while they are filled. Without memory it is tried again with the next change.
static void begin_next(struct lpm *lpm)
{
	size_t size = size_for(lpm->count + lpm->count / 4 + lpm->room);
	size_t least = slots_of(lpm)->size / 4;
	lpm->next = slots_new(size > least ? size : least);
	lpm->moved = 0;
}

static void publish_next(struct lpm *lpm)
{
	struct slots *old = atomic_exchange(&lpm->slots, take(lpm->next));
	rcu_wait();
	free(old);
}

static void set_next(struct lpm *lpm, const struct key *key, void *value, void *own)
{
	set_slot(lpm->next, find_slot(lpm->next, lpm->seed, key), key, value, own);
}

static void move_some(struct lpm *lpm, size_t most)
{
	const struct slots *slots = slots_of(lpm);
	for (; lpm->next && most > 0; most--) {
		const struct slot *slot = &slots->at[lpm->moved];
		struct key key = {slot->high, slot->low, atomic_load(&slot->kind)};
		void *value = value_of(slot);
		if (value)
			set_next(lpm, &key, value, slots->own[lpm->moved]);
		if (++lpm->moved == slots->size)
			publish_next(lpm);
	}
}

int lpm_reserve(struct lpm *lpm, size_t more)
{
	lpm->room = more;
	while (!have_room(slots_of(lpm), more) || (lpm->next && !have_room(lpm->next, more))) {
		if (!lpm->next)
			begin_next(lpm);
		if (!lpm->next)
			return -ENOMEM;
		move_some(lpm, SIZE_MAX);
	}
	return 0;
}

static void set_used(struct lpm *lpm, unsigned family, unsigned host, bool used)
{
	_Atomic uint64_t *word = &lpm->used[family][host / 64];
	uint64_t bit = UINT64_C(1) << host % 64, bits = atomic_load(word);
	atomic_store(word, used ? bits | bit : bits & ~bit);
}

static bool is_sparse(const struct lpm *lpm, const struct slots *slots)
{
	return slots->size > SLOTS_LEAST && (lpm->count + lpm->room) * SPARSE < slots->size;
}

static void count(struct lpm *lpm, const struct key *key, bool more)
{
	unsigned family = key->kind >> 8 & 1, host = key->kind & UINT8_MAX;
	size_t *count = &lpm->counts[family][host];
	lpm->count += more ? 1 : SIZE_MAX;
	*count += more ? 1 : SIZE_MAX;
	if (*count == (more ? 1 : 0))
		set_used(lpm, family, host, more);
}

// `at`: where the key is, or may be.
static void change(struct lpm *lpm, size_t at, const struct key *key, void *value, void *own)
{
	struct slots *slots = slots_of(lpm);
	size_t taken = slots->taken;
	bool was = value_of(&slots->at[at]);
	set_slot(slots, at, key, value, own);
	if (lpm->next && at < lpm->moved)
		set_next(lpm, key, value, own);
	if (slots->taken != taken && lpm->room)
		lpm->room--;
	if (was != (value != NULL))
		count(lpm, key, value);
	if (!lpm->next && (is_full(slots) || (!value && is_sparse(lpm, slots))))
		begin_next(lpm);
	move_some(lpm, STEP);
}

void *lpm_add(struct lpm *lpm, const struct prefix *prefix, void *value)
{
	const struct slots *slots = slots_of(lpm);
	struct key key = key_of(prefix);
	size_t at = find_slot(slots, lpm->seed, &key);
	void *there = value_of(&slots->at[at]);
	if (!there)
		change(lpm, at, &key, value, NULL);
	return there ? there : value;
}

void lpm_set(struct lpm *lpm, const struct prefix *prefix, void *value, void *own)
{
	struct key key = key_of(prefix);
	change(lpm, find_slot(slots_of(lpm), lpm->seed, &key), &key, value, own);
}

void *lpm_exact(const struct lpm *lpm, const struct prefix *prefix)
{
	if (!lpm)
		return NULL;
	const struct slots *slots = slots_of(lpm);
	struct key key = key_of(prefix);
	return value_of(&slots->at[find_slot(slots, lpm->seed, &key)]);
}

void *lpm_own(const struct lpm *lpm, const struct prefix *prefix)
{
	const struct slots *slots = slots_of(lpm);
	struct key key = key_of(prefix);
	return slots->own[find_slot(slots, lpm->seed, &key)];
}

// --- readers

// The next free slot ends the search, whatever another prefix makes of it in this moment.
static void *find_value(const struct slots *slots, uint64_t seed, const struct key *key)
{
	size_t mask = slots->size - 1;
	for (size_t i = hash(seed, key);; i++) {
		const struct slot *slot = &slots->at[i & mask];
		uint64_t kind = atomic_load_explicit(&slot->kind, memory_order_acquire);
		if (!kind)
			return NULL;
		if (is_of(slot, kind, key))
			return value_of(slot);
	}
}

// Of the longest prefix that leaves the host at least so many bits.
static void *find_from(const struct lpm *lpm, const struct addr *addr, unsigned least,
		       unsigned *ret_length)
{
	const struct slots *slots = atomic_load_explicit(&lpm->slots, memory_order_acquire);
	unsigned family = family_slot(addr->family);
	uint64_t high, low, wanted = ONES << least % 64;
	load(addr, &high, &low);
	for (unsigned word = least / 64; word < WORDS; word++, wanted = ONES) {
		uint64_t used =
			atomic_load_explicit(&lpm->used[family][word], memory_order_relaxed);
		for (used &= wanted; used; used &= used - 1) {
			unsigned host = word * 64 + (unsigned)__builtin_ctzll(used);
			const struct mask *mask = &lpm->masks[host];
			struct key key = {high & mask->high, low & mask->low,
					  kind_of(family, host)};
			void *value = find_value(slots, lpm->seed, &key);
			if (!value)
				continue;
			*ret_length = BITS - host;
			return value;
		}
	}
	return NULL;
}

void *lpm_find_length(const struct lpm *lpm, const struct addr *addr, unsigned *ret_length)
{
	return lpm ? find_from(lpm, addr, BITS - ADDR_BITS(addr), ret_length) : NULL;
}

void *lpm_find(const struct lpm *lpm, const struct addr *addr)
{
	unsigned length;
	return lpm_find_length(lpm, addr, &length);
}

void *lpm_around(const struct lpm *lpm, const struct prefix *prefix)
{
	unsigned length;
	return lpm ? find_from(lpm, &prefix->addr, BITS - prefix->length, &length) : NULL;
}
