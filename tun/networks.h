// SPDX-License-Identifier: Apache-2.0
// Address -> rules that name a network that holds it. Immutable: any thread may ask.
#pragma once

#include "base/addr.h"
#include "base/cleanup.h"
#include "tun/uses.h"

struct networks;

// Asks `uses`, made of the same networks, and keeps neither. NULL: out of memory.
struct networks *networks_new(const struct rule_net *nets, unsigned count, struct uses *uses);
struct networks *networks_free(struct networks *networks); // takes NULL, returns NULL
DEFINE_CLEANUP(struct networks *, networks_free);

// NULL: no network holds the address.
const struct uses_sets *networks_find(const struct networks *networks, const struct addr *addr);
