// SPDX-License-Identifier: Apache-2.0
// A hash table of sets: a source may stand in any of the few entries of its set. Where a set is full, the entry that says
// least makes room, but never one with something half open, so that a ticket stays good. Hashing is keyed: nobody can choose
// addresses that push a certain other one out.

#include "server/gate.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define WAYS	 8u
#define SETS	 (GATE_ENTRIES / WAYS)
#define MILLI	 1000u // tokens are counted in thousandths: a rate per second is one per millisecond
#define NO_ENTRY (-1)
#define IDENTITY 0xff // no family

struct entry {
	uint8_t key[9]; // family, then the address or the upper half of it; IDENTITY and a hash
	bool used;
	uint16_t half_open;
	uint32_t tokens;    // thousandths of a start
	uint64_t seen_ms;   // tokens are as of then
	uint64_t proven_ms; // 0: never
};

struct gate {
	pthread_mutex_t lock;
	struct gate_limits limits;
	unsigned half_open;
	uint64_t secret[2];
	uint64_t random;
	struct entry entries[GATE_ENTRIES];
};

struct gate *gate_new(const struct gate_limits *limits)
{
	struct gate *gate = calloc(1, sizeof(*gate));
	uint64_t seed[3];

	if (!gate || getrandom(seed, sizeof(seed), 0) != sizeof(seed)) {
		free(gate);
		return NULL;
	}
	pthread_mutex_init(&gate->lock, NULL);
	gate->limits = *limits;
	if (gate->limits.half_open_source > UINT16_MAX)
		gate->limits.half_open_source = UINT16_MAX;
	if (gate->limits.starts_burst > UINT32_MAX / MILLI)
		gate->limits.starts_burst = UINT32_MAX / MILLI;
	gate->secret[0] = seed[0];
	gate->secret[1] = seed[1] | 1;
	gate->random = seed[2];
	return gate;
}

struct gate *gate_free(struct gate *gate)
{
	if (!gate)
		return NULL;
	pthread_mutex_destroy(&gate->lock);
	free(gate);
	return NULL;
}

static void source_key(const struct addr *addr, uint8_t key[9])
{
	memset(key, 0, 9);
	key[0] = addr->family;
	memcpy(key + 1, addr->bytes, addr->family == AF_INET ? 4 : 8);
}

static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint64_t hash_text(const struct gate *gate, const char *text)
{
	uint64_t hash = gate->secret[0];

	for (; *text; text++)
		hash = mix((hash ^ (uint8_t)*text) * gate->secret[1]);
	return hash;
}

static void identity_key(const struct gate *gate, const char *identity, uint8_t key[9])
{
	uint64_t hash = hash_text(gate, identity);

	key[0] = IDENTITY;
	memcpy(key + 1, &hash, sizeof(hash));
}

static unsigned source_set(const struct gate *gate, const uint8_t key[9])
{
	uint64_t address;

	memcpy(&address, key + 1, sizeof(address));
	return (unsigned)(mix(mix(address ^ gate->secret[0]) * gate->secret[1] + key[0]) % SETS);
}

static void entry_refill(const struct gate *gate, struct entry *entry, uint64_t now_ms)
{
	uint64_t full = (uint64_t)gate->limits.starts_burst * MILLI;
	uint64_t elapsed = now_ms > entry->seen_ms ? now_ms - entry->seen_ms : 0;

	if (elapsed >
	    full) // saves the multiplication from overflowing; at least one thousandth per millisecond
		elapsed = full;
	uint64_t tokens = entry->tokens + elapsed * gate->limits.starts_per_second;
	entry->tokens = (uint32_t)(tokens < full ? tokens : full);
	entry->seen_ms = now_ms;
}

static bool entry_proven(const struct entry *entry, uint64_t now_ms)
{
	return entry->proven_ms && now_ms < entry->proven_ms + GATE_PROVEN_MS;
}

// Whether `a` should be forgotten rather than `b`.
static bool entry_says_less(const struct entry *a, const struct entry *b, uint64_t now_ms)
{
	if (!b || a->used != b->used)
		return !b || !a->used;
	bool proven = entry_proven(a, now_ms);
	if (proven != entry_proven(b, now_ms))
		return !proven;
	return a->seen_ms < b->seen_ms;
}

// The entry of this key, a new one where it has none; NULL when its set is taken up by others that are half open.
static struct entry *entry_get(struct gate *gate, const uint8_t key[9], uint64_t now_ms)
{
	struct entry *least = NULL;
	struct entry *set = &gate->entries[(size_t)source_set(gate, key) * WAYS];
	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].used && memcmp(set[i].key, key, sizeof(set[i].key)) == 0)
			return &set[i];
		if (!set[i].half_open && entry_says_less(&set[i], least, now_ms))
			least = &set[i];
	}
	if (!least)
		return NULL;
	*least = (struct entry){
		.used = true, .tokens = gate->limits.starts_burst * MILLI, .seen_ms = now_ms};
	memcpy(least->key, key, sizeof(least->key));
	return least;
}

// As sshd's MaxStartups: nothing is refused up to half the limit, everything at the limit, in between ever more.
static bool early_drop(struct gate *gate, bool proven)
{
	unsigned limit = gate->limits.half_open, half = limit / 2;

	if (gate->half_open >= limit)
		return true;
	if (gate->half_open < half || proven)
		return false;
	gate->random += 0x9e3779b97f4a7c15u;
	return mix(gate->random) % (limit - half) < gate->half_open - half;
}

static enum gate_verdict judge(struct gate *gate, struct entry *entry, uint64_t now_ms)
{
	if (entry) {
		entry_refill(gate, entry, now_ms);
		if (entry->half_open >= gate->limits.half_open_source)
			return GATE_SOURCE;
		if (entry->tokens < MILLI)
			return GATE_RATE;
	}
	if (early_drop(gate, entry && entry_proven(entry, now_ms)))
		return GATE_FULL;
	if (entry) {
		entry->tokens -= MILLI;
		entry->half_open++;
	}
	gate->half_open++;
	return GATE_PASS;
}

enum gate_verdict gate_enter(struct gate *gate, const struct addr *addr, uint64_t now_ms,
			     struct gate_ticket *ret)
{
	uint8_t key[9];

	source_key(addr, key);
	pthread_mutex_lock(&gate->lock);
	struct entry *entry = entry_get(gate, key, now_ms);
	enum gate_verdict verdict = judge(gate, entry, now_ms);
	if (verdict == GATE_PASS)
		ret->entry = entry ? (int32_t)(entry - gate->entries) : NO_ENTRY;
	pthread_mutex_unlock(&gate->lock);
	return verdict;
}

void gate_leave(struct gate *gate, struct gate_ticket ticket, bool proven, uint64_t now_ms)
{
	pthread_mutex_lock(&gate->lock);
	gate->half_open--;
	if (ticket.entry != NO_ENTRY) {
		struct entry *entry = &gate->entries[ticket.entry];
		entry->half_open--;
		if (proven) {
			entry_refill(gate, entry, now_ms);
			entry->tokens += MILLI;
			if (entry->tokens > gate->limits.starts_burst * MILLI)
				entry->tokens = gate->limits.starts_burst * MILLI;
			entry->proven_ms = now_ms;
		}
	}
	pthread_mutex_unlock(&gate->lock);
}

bool gate_excuses(struct gate *gate, const char *identity, uint64_t now_ms)
{
	uint8_t key[9];

	identity_key(gate, identity, key);
	pthread_mutex_lock(&gate->lock);
	struct entry *entry = entry_get(gate, key, now_ms);
	bool excused = entry != NULL;
	if (entry) {
		entry_refill(gate, entry, now_ms);
		excused = entry->tokens >= MILLI;
		entry->tokens -= excused ? MILLI : 0;
		entry->proven_ms = now_ms; // strangers do not push it out
	}
	pthread_mutex_unlock(&gate->lock);
	return excused;
}

bool gate_knows(struct gate *gate, struct gate_ticket ticket, uint64_t now_ms)
{
	pthread_mutex_lock(&gate->lock);
	bool known = ticket.entry != NO_ENTRY && entry_proven(&gate->entries[ticket.entry], now_ms);
	pthread_mutex_unlock(&gate->lock);
	return known;
}

unsigned gate_half_open(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	unsigned half_open = gate->half_open;
	pthread_mutex_unlock(&gate->lock);
	return half_open;
}
