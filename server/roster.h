// SPDX-License-Identifier: Apache-2.0
// The members of a gateway: by identity, and in the order in which they came.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

struct member;
struct roster;

#define ROSTER_END UINT64_MAX // a cursor behind the last

// NULL: out of memory.
struct roster *roster_new(void);
struct roster *
roster_free(struct roster *roster); // takes NULL; the members are the caller's; returns NULL
DEFINE_CLEANUP(struct roster *, roster_free);

// Borrows the member until roster_remove(). -EEXIST: there is one of its identity; -ENOMEM.
int roster_add(struct roster *roster, struct member *member);
void roster_remove(struct roster *roster, struct member *member);
// NULL: there is none.
struct member *roster_find(const struct roster *roster, const char *identity);
size_t roster_count(const struct roster *roster);

// For whoever walks over all of them, at once or a few at a time: the member who came last before `*cursor`, which moves; ROSTER_END:
// begin. NULL: that was all. Members may come and go meanwhile: who comes is left out, and nobody who stays is left out or met twice.
struct member *roster_before(const struct roster *roster, uint64_t *cursor);
