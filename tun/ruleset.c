// SPDX-License-Identifier: Apache-2.0

#include "tun/ruleset.h"

#include <errno.h>
#include <stdlib.h>

struct block {
	uint64_t summary; // which of its 64 words are kept
	uint32_t first;	  // place of the first of them
};

struct ruleset {
	const uint64_t *words; // behind the blocks
	uint32_t block_count;  // up to the last that is not zero
	struct block blocks[];
};

// The compiler's own is a call where the processor may be of before 2008.
static inline unsigned count_bits(uint64_t word)
{
	word -= word >> 1 & UINT64_C(0x5555555555555555);
	word = (word & UINT64_C(0x3333333333333333)) + (word >> 2 & UINT64_C(0x3333333333333333));
	word = (word + (word >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	return (unsigned)(word * UINT64_C(0x0101010101010101) >> 56);
}

static inline unsigned lowest_bit(uint64_t word)
{
	return (unsigned)__builtin_ctzll(word);
}

int ruleset_new(const uint64_t *bits, size_t count, struct ruleset **ret)
{
	size_t used = 0, last = 0;
	for (size_t i = 0; i < count; i++) {
		if (bits[i]) {
			used++;
			last = i;
		}
	}
	*ret = NULL;
	if (used == 0)
		return 0;
	size_t blocks = last / 64 + 1;
	struct ruleset *set =
		calloc(1, sizeof(*set) + blocks * sizeof(struct block) + used * sizeof(uint64_t));
	if (!set)
		return -ENOMEM;
	uint64_t *words = (uint64_t *)&set->blocks[blocks];
	uint32_t at = 0;
	for (size_t i = 0; i <= last; i++) {
		struct block *block = &set->blocks[i / 64];
		if (i % 64 == 0)
			block->first = at;
		if (!bits[i])
			continue;
		block->summary |= UINT64_C(1) << (i % 64);
		words[at++] = bits[i];
	}
	set->words = words;
	set->block_count = (uint32_t)blocks;
	*ret = set;
	return 0;
}

struct ruleset *ruleset_free(struct ruleset *set)
{
	free(set);
	return NULL;
}

void ruleset_spread(const struct ruleset *set, uint64_t *bits)
{
	for (uint32_t i = 0; set && i < set->block_count; i++) {
		const uint64_t *word = &set->words[set->blocks[i].first];
		for (uint64_t left = set->blocks[i].summary; left; left &= left - 1)
			bits[(size_t)i * 64 + lowest_bit(left)] |= *word++;
	}
}

static inline uint64_t any_summary(const struct ruleset_any *any, uint32_t block)
{
	uint64_t summary = 0;
	for (unsigned i = 0; i < any->count; i++)
		if (block < any->sets[i]->block_count)
			summary |= any->sets[i]->blocks[block].summary;
	return summary;
}

// `bit` is in the summary of one of them.
static inline uint64_t any_word(const struct ruleset_any *any, uint32_t at, unsigned bit)
{
	uint64_t word = 0;
	for (unsigned i = 0; i < any->count; i++) {
		const struct ruleset *set = any->sets[i];
		if (at >= set->block_count)
			continue;
		const struct block *block = &set->blocks[at];
		if (block->summary >> bit & 1)
			word |= set->words[block->first +
					   count_bits(block->summary & ((UINT64_C(1) << bit) - 1))];
	}
	return word;
}

static uint32_t any_blocks(const struct ruleset_any *any)
{
	uint32_t most = 0;
	for (unsigned i = 0; i < any->count; i++)
		if (any->sets[i]->block_count > most)
			most = any->sets[i]->block_count;
	return most;
}

// Every one of them may have it in a block by its summaries: look.
static uint32_t first_in_block(const struct ruleset_any *any, unsigned count, uint32_t block,
			       uint64_t summary)
{
	for (; summary; summary &= summary - 1) {
		unsigned bit = lowest_bit(summary);
		uint64_t word = any_word(&any[0], block, bit);
		for (unsigned i = 1; word && i < count; i++)
			word &= any_word(&any[i], block, bit);
		if (word)
			return (block * 64 + bit) * 64 + lowest_bit(word);
	}
	return RULESET_NONE;
}

uint32_t ruleset_first(const struct ruleset_any *any, unsigned count)
{
	uint32_t blocks = UINT32_MAX;
	for (unsigned i = 0; i < count; i++) {
		uint32_t own = any_blocks(&any[i]);
		blocks = own < blocks ? own : blocks;
	}
	for (uint32_t block = 0; block < blocks; block++) {
		uint64_t summary = any_summary(&any[0], block);
		for (unsigned i = 1; summary && i < count; i++)
			summary &= any_summary(&any[i], block);
		uint32_t number = first_in_block(any, count, block, summary);
		if (number != RULESET_NONE)
			return number;
	}
	return RULESET_NONE;
}
