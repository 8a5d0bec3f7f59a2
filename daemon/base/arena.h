// SPDX-License-Identifier: Apache-2.0
// Many small objects that live and go together: allocated one by one, freed at once. For one thread.
#pragma once

#include <stddef.h>

#include "base/cleanup.h"

struct arena;

// Returns a new, empty arena, or NULL.
struct arena *arena_new(void);
struct arena *arena_free(struct arena *arena); // takes NULL; all that came of it goes; returns NULL
DEFINE_CLEANUP(struct arena *, arena_free);

// `count` objects of `size` bytes, zeroed, aligned for any type; borrowed until arena_free(). NULL: out of memory.
void *arena_alloc(struct arena *arena, size_t count, size_t size);
// The same, with what stands at `from` copied into it. `from` may be NULL where `count` is 0.
void *arena_copy(struct arena *arena, const void *from, size_t count, size_t size);
// A copy of a text. NULL: out of memory.
char *arena_text(struct arena *arena, const char *text);
