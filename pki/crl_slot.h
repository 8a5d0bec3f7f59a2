// SPDX-License-Identifier: Apache-2.0
// The place of a revocation list that has newer ones after it. A channel keeps what it was made from, trust and all, for an hour; it
// must neither keep a table of millions of entries alive, nor judge by a list that is over. So what is immutable and shared holds a
// slot, and the slot holds the newest list.
#pragma once

#include "base/cleanup.h"

struct crl;
struct crl_slot;

// A counted object, for any thread. `crl` (a reference is taken; NULL: none yet). NULL: out of memory.
struct crl_slot *crl_slot_new(struct crl *crl);
struct crl_slot *crl_slot_get(struct crl_slot *slot);
struct crl_slot *crl_slot_put(struct crl_slot *slot); // takes NULL, returns NULL
DEFINE_CLEANUP(struct crl_slot *, crl_slot_put);
// Another one from now on (a reference is taken; NULL: none).
void crl_slot_set(struct crl_slot *slot, struct crl *crl);
// A new reference to the one in it; NULL: none.
struct crl *crl_slot_crl(struct crl_slot *slot);
