// SPDX-License-Identifier: Apache-2.0
// Chained, with slots by SipHash-2-4 (Aumasson, Bernstein 2012) under a random key.

#include "base/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define TABLE_FIRST 64u

struct entry {
	struct entry *next;
	const void *key;
	size_t size;
	uint64_t hash;
	void *value;
};

struct table {
	uint64_t key[2];
	struct entry **slots;
	size_t slot_count; // a power of two
	size_t count;
};

static uint64_t rotate(uint64_t value, unsigned bits)
{
	return value << bits | value >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static uint64_t sip_hash(const uint64_t key[2], const uint8_t *data, size_t size)
{
	uint64_t v[4] = {
		key[0] ^ UINT64_C(0x736f6d6570736575),
		key[1] ^ UINT64_C(0x646f72616e646f6d),
		key[0] ^ UINT64_C(0x6c7967656e657261),
		key[1] ^ UINT64_C(0x7465646279746573),
	};
	uint64_t word;
	size_t left = size;
	for (; left >= 8; left -= 8, data += 8) {
		memcpy(&word, data, 8);
		v[3] ^= word;
		sip_round(v);
		sip_round(v);
		v[0] ^= word;
	}
	word = (uint64_t)size << 56;
	for (size_t i = 0; i < left; i++)
		word |= (uint64_t)data[i] << (8 * i);
	v[3] ^= word;
	sip_round(v);
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	for (unsigned i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct table *table_new(void)
{
	_cleanup_(table_freep) struct table *table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	if (getrandom(table->key, sizeof(table->key), 0) != sizeof(table->key))
		return NULL;
	table->slots = calloc(TABLE_FIRST, sizeof(struct entry *));
	if (!table->slots)
		return NULL;
	table->slot_count = TABLE_FIRST;
	return take(table);
}

struct table *table_free(struct table *table)
{
	if (!table)
		return NULL;
	for (size_t i = 0; i < table->slot_count; i++) {
		for (struct entry *entry = table->slots[i]; entry;) {
			struct entry *next = entry->next;
			free(entry);
			entry = next;
		}
	}
	free(table->slots);
	free(table);
	return NULL;
}

static struct entry **find(const struct table *table, const void *key, size_t size, uint64_t hash)
{
	struct entry **at = &table->slots[hash & (table->slot_count - 1)];
	while (*at &&
	       ((*at)->hash != hash || (*at)->size != size || memcmp((*at)->key, key, size) != 0))
		at = &(*at)->next;
	return at;
}

static void grow(struct table *table)
{
	size_t count = table->slot_count * 2;
	struct entry **slots = calloc(count, sizeof(struct entry *));
	if (!slots)
		return; // slower, but right
	for (size_t i = 0; i < table->slot_count; i++) {
		for (struct entry *entry = table->slots[i]; entry;) {
			struct entry *next = entry->next;
			struct entry **slot = &slots[entry->hash & (count - 1)];
			entry->next = *slot;
			*slot = entry;
			entry = next;
		}
	}
	free(table->slots);
	table->slots = slots;
	table->slot_count = count;
}

int table_add(struct table *table, const void *key, size_t size, void *value)
{
	uint64_t hash = sip_hash(table->key, key, size);
	if (*find(table, key, size, hash))
		return -EEXIST;
	struct entry *entry = malloc(sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	if (table->count >= table->slot_count)
		grow(table);
	*entry = (struct entry){.key = key, .size = size, .hash = hash, .value = value};
	*find(table, key, size, hash) = entry;
	table->count++;
	return 0;
}

void *table_find(const struct table *table, const void *key, size_t size)
{
	const struct entry *entry = *find(table, key, size, sip_hash(table->key, key, size));
	return entry ? entry->value : NULL;
}

void *table_remove(struct table *table, const void *key, size_t size)
{
	struct entry **at = find(table, key, size, sip_hash(table->key, key, size));
	struct entry *entry = *at;
	if (!entry)
		return NULL;
	void *value = entry->value;
	*at = entry->next;
	free(entry);
	table->count--;
	return value;
}

size_t table_count(const struct table *table)
{
	return table->count;
}

// The cursor holds the slot in its upper bits and how many of its chain are still to come in the lower 16, so that removing
// the value just returned does not shift what follows.
void *table_next(const struct table *table, size_t *cursor)
{
	size_t slot = *cursor >> 16;
	size_t left = *cursor & 0xffff;
	for (; slot < table->slot_count; slot++, left = 0) {
		size_t length = 0;
		for (const struct entry *entry = table->slots[slot]; entry; entry = entry->next)
			length++;
		size_t position = left ? length - (left - 1) : 0;
		if (left == 1 || position >= length)
			continue;
		const struct entry *entry = table->slots[slot];
		for (size_t i = 0; i < position; i++)
			entry = entry->next;
		*cursor = slot << 16 | (length - position);
		return entry->value;
	}
	*cursor = slot << 16;
	return NULL;
}
