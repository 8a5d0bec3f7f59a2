// SPDX-License-Identifier: Apache-2.0
// From rules to the filter of now: which rules hold at a time (`expires`, `hours`), the filter made of them, and when to make
// the next one. A rule that does not hold is not in the filter: what changes with the clock is a new filter, as after a reload.
#pragma once

#include <time.h>

#include "tun/filter.h"
#include "tun/rule.h"

struct error;

// Whether the rule holds at `now`.
bool policy_active(const struct rule *rule, time_t now);
// When some rule begins or ceases to hold, after `now`; 0: never.
time_t policy_next_change(const struct rules *rules, time_t now);

// Any thread (a job): 10,000 rules take milliseconds. Copies what it needs. -ENOMEM, -E2BIG.
int policy_compile(const struct rules *rules, time_t now, struct filter **ret, struct error *error);
