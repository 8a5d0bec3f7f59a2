// SPDX-License-Identifier: Apache-2.0
// Services cut at all limits that a policy has: within one interval its rules cannot tell two services apart.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "tun/rule.h"

struct policy_interval {
	uint8_t protocol; // with `others`: one that no service names, and stands for all of those
	bool others;
	uint16_t first, last; // ports, or ICMP type << 8 | code
};

struct policy_intervals; // being gathered

struct policy_intervals *policy_intervals_new(void); // NULL: out of memory
// Takes NULL, returns NULL.
struct policy_intervals *policy_intervals_free(struct policy_intervals *intervals);
DEFINE_CLEANUP(struct policy_intervals *, policy_intervals_free);
// The limits of some services, or of all services of a program. -ENOMEM.
int policy_intervals_add(struct policy_intervals *intervals, const struct rule_service *services,
			 unsigned count);
int policy_intervals_add_rules(struct policy_intervals *intervals, const struct rules *rules,
			       enum filter_program program);
// A new array of all intervals, by protocol and port; `others`, where there are any, comes last. -ENOMEM.
int policy_intervals_list(struct policy_intervals *intervals, struct policy_interval **ret,
			  size_t *ret_count);
// Whether the service has (any, and then all) of the interval; only for services that were added.
bool policy_interval_within(const struct policy_interval *interval,
			    const struct rule_service *service);
