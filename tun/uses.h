// SPDX-License-Identifier: Apache-2.0
// Which rules use a group, or a network, at which side: the policy the other way round. For one thread.
#pragma once

#include <stdint.h>

#include "base/cleanup.h"
#include "tun/rule.h"
#include "tun/ruleset.h"

enum uses_side { USES_FROM, USES_TO };
#define USES_SIDES 2u

// Rules that something matches, by program and side. Numbers are places in struct rule_order.
struct uses_sets {
	struct ruleset *of[FILTER_PROGRAMS][USES_SIDES];
};
void uses_sets_done(struct uses_sets *sets);

struct uses;

enum uses_kind { USES_GROUPS, USES_NETS };
// Of `count` groups or networks, by the programs' orders. Whoever uses one with `same`, if any, uses that one instead. Keeps neither.
// NULL: out of memory.
struct uses *uses_new(const struct rule_order orders[FILTER_PROGRAMS], enum uses_kind kind,
		      unsigned count, const uint32_t *same);
struct uses *uses_free(struct uses *uses); // takes NULL, returns NULL
DEFINE_CLEANUP(struct uses *, uses_free);

// The rules that use any of the groups (networks) at these positions, and those in `more` (NULL: none). uses_sets_done() empties
// it. -ENOMEM.
int uses_of(struct uses *uses, const uint32_t *positions, unsigned count,
	    const struct uses_sets *more, struct uses_sets *ret);
