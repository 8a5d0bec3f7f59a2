// SPDX-License-Identifier: Apache-2.0
// A hash table from byte strings to pointers, for one thread. Keys are borrowed from the values they belong to.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

struct table;

// Returns a new, empty table, or NULL. Hashing is keyed at random per table (no flooding by chosen keys).
struct table *table_new(void);
struct table *
table_free(struct table *table); // takes NULL; the values are the caller's; returns NULL
DEFINE_CLEANUP(struct table *, table_free);

// Borrows `key` until the entry is removed. 0, -EEXIST, -ENOMEM.
int table_add(struct table *table, const void *key, size_t size, void *value);
// NULL when there is none.
void *table_find(const struct table *table, const void *key, size_t size);
void *table_remove(struct table *table, const void *key, size_t size);
size_t table_count(const struct table *table);
// Walks all values: start with *cursor = 0; NULL at the end. Removing the value just returned is allowed.
void *table_next(const struct table *table, size_t *cursor);
