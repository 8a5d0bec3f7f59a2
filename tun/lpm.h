// SPDX-License-Identifier: Apache-2.0
// Prefix -> value, longest match (RFC 4632, 5.1). One thread changes it, at a cost that does not grow with the table; readers under RCU look
// meanwhile and take no lock.
#pragma once

#include <stddef.h>

#include "base/addr.h"
#include "base/cleanup.h"

struct lpm; // NULL: empty, to those that look

// With room for `count` prefixes. NULL: out of memory.
struct lpm *lpm_new(size_t count);
struct lpm *lpm_free(struct lpm *lpm); // no reader may be left; takes NULL, returns NULL
DEFINE_CLEANUP(struct lpm *, lpm_free);

// The writer. Prefixes have no host bits. Values are borrowed. A prefix that is new takes room, and keeps it for a while when it is gone.

// There is room for so many new ones, whatever there was. -ENOMEM: it is as it was.
int lpm_reserve(struct lpm *lpm, size_t more);
// Returns the value that the prefix has from now on: another one when it was there already.
void *lpm_add(struct lpm *lpm, const struct prefix *prefix, void *value);
// Gives the prefix this value; NULL: it is not there any more. Readers find the value before or this one; those of before may go on with
// it until a grace period is over. `own` is for the writer alone.
void lpm_set(struct lpm *lpm, const struct prefix *prefix, void *value, void *own);
// Of exactly this prefix; NULL.
void *lpm_exact(const struct lpm *lpm, const struct prefix *prefix);
void *lpm_own(const struct lpm *lpm, const struct prefix *prefix);

// Readers.

// Of the longest prefix that holds the address; NULL.
void *lpm_find(const struct lpm *lpm, const struct addr *addr);
// The same; `ret_length`, when there is one: how long that prefix is.
void *lpm_find_length(const struct lpm *lpm, const struct addr *addr, unsigned *ret_length);
// Of the longest prefix that holds all of this one, or is it; NULL.
void *lpm_around(const struct lpm *lpm, const struct prefix *prefix);
