// SPDX-License-Identifier: Apache-2.0
// Which groups a peer is in, without asking each: patterns are found by the rarest part that they name. For one thread.
#pragma once

#include <stdint.h>

#include "base/cleanup.h"
#include "tun/rule.h"

struct groups;

// Copies them. NULL: out of memory.
struct groups *groups_new(const struct rule_group *groups, unsigned count);
struct groups *groups_free(struct groups *groups); // takes NULL, returns NULL
DEFINE_CLEANUP(struct groups *, groups_free);

// By position, the first group with the same alternatives: of equal ones only this is looked at. Borrowed.
const uint32_t *groups_same(const struct groups *groups);
// The positions of those that the peer is in, in ascending order; borrowed until the next call. Returns how many.
unsigned groups_of(struct groups *groups, const struct filter_peer *peer, const uint32_t **ret);
