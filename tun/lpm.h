// SPDX-License-Identifier: Apache-2.0
// Prefix -> value, longest match (RFC 4632, 5.1). Filled by one thread; once others can see it, it never changes again.
#pragma once

#include <stddef.h>

#include "base/addr.h"
#include "base/cleanup.h"

struct lpm; // NULL: empty, to those that look

// Room for `count` prefixes. NULL: out of memory.
struct lpm *lpm_new(size_t count);
struct lpm *lpm_free(struct lpm *lpm); // takes NULL, returns NULL
DEFINE_CLEANUP(struct lpm *, lpm_free);

// `prefix` has no host bits. `value`, not NULL, is borrowed. Returns the value that the prefix has from now on: another one when it
// was there already. At most as often with new prefixes as there is room.
void *lpm_add(struct lpm *lpm, const struct prefix *prefix, void *value);
// Of exactly this prefix; NULL.
void *lpm_exact(const struct lpm *lpm, const struct prefix *prefix);
// Of the longest prefix that holds the address; NULL.
void *lpm_find(const struct lpm *lpm, const struct addr *addr);
// The same; `ret_length`, when there is one: how long that prefix is.
void *lpm_find_length(const struct lpm *lpm, const struct addr *addr, unsigned *ret_length);
// Of the longest prefix that holds all of this one, or is it; NULL.
void *lpm_around(const struct lpm *lpm, const struct prefix *prefix);
