// SPDX-License-Identifier: Apache-2.0
// What the parts of `micro` share.
#pragma once

// Nanoseconds of one step: the median of rounds.
double micro_measure(void (*step)(void *data), void *data);

// Rows of the policy, in micro_policy.c.
void micro_policy(void);
