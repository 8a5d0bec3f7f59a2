// SPDX-License-Identifier: Apache-2.0
// Identities as a set of patterns sees them: two are of one class when the same patterns match both. Exact, by running all patterns at
// once over all identities there could be.
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct arena;

struct pattern_class {
	const char *example;	  // an identity of the class
	const unsigned *patterns; // positions of those that match, ascending
	unsigned count;		  // 1 and up
};

// All classes but the one of identities that no pattern matches; what is returned lives in the arena, and borrows nothing. Patterns have
// passed identity_pattern_check(). With `ret_cut`, there are more: too many to go on. -ENOMEM.
int pattern_classes(const char *const *patterns, unsigned count, struct arena *arena,
		    struct pattern_class **ret, size_t *ret_count, bool *ret_cut);
