// SPDX-License-Identifier: Apache-2.0
// What the parts of `micro` share.
#pragma once

#include <stdbool.h>

#include "tun/rule.h"

// Nanoseconds of one step: the median of rounds.
double micro_measure(void (*step)(void *data), void *data);

// Rows of the policy, in micro_policy.c.
void micro_policy(void);
// A company's rules; `one`: all of one group. Theirs until the next call.
struct rules micro_rules(unsigned count, bool one);
// Of somebody in the group.
const char *micro_identity(unsigned group);

// Rows of packets that are judged under so many rules, in micro_pass.c.
void micro_pass(unsigned rules);
