// SPDX-License-Identifier: Apache-2.0
// A set of numbers of rules, immutable and small: of 64 words of bits, only those that are not zero are kept, and a summary word
// says which these are. What several sets have in common is found by their summaries, mostly without a look at the rest.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

struct ruleset; // NULL: empty

#define RULESET_NONE	UINT32_MAX
#define RULESET_ANY_MAX 3u

// From `count` words of bits: bit n of word w is number 64 * w + n. Sets `ret` to a new one, or NULL: no bit is set. -ENOMEM.
int ruleset_new(const uint64_t *bits, size_t count, struct ruleset **ret);
struct ruleset *ruleset_free(struct ruleset *set); // takes NULL, returns NULL
DEFINE_CLEANUP(struct ruleset *, ruleset_free);
// Sets its bits in `bits`, which has room for them.
void ruleset_spread(const struct ruleset *set, uint64_t *bits);

// What is in any of several sets.
struct ruleset_any {
	const struct ruleset *sets[RULESET_ANY_MAX];
	unsigned count;
};

static inline void ruleset_any_add(struct ruleset_any *any, const struct ruleset *set)
{
	if (set)
		any->sets[any->count++] = set;
}

// The lowest number that is in all of `count` (1 and up); RULESET_NONE.
uint32_t ruleset_first(const struct ruleset_any *any, unsigned count);

static inline void ruleset_bit(uint64_t *bits, uint32_t number)
{
	bits[number / 64] |= UINT64_C(1) << (number % 64);
}
#define RULESET_WORDS(numbers) (((size_t)(numbers) + 63) / 64)
