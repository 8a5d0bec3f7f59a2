// SPDX-License-Identifier: Apache-2.0
// Whether one part of a policy says all that another says, and more. "No" may be wrong where several parts only together say it;
// "yes" never is.
#pragma once

#include <stdbool.h>

#include "tun/rule.h"

bool policy_peer_covers(const struct rule_peer *wide, const struct rule_peer *narrow);
bool policy_group_covers(const struct rule_group *wide, const struct rule_group *narrow);
bool policy_net_covers(const struct rule_net *wide, const struct rule_net *narrow);
bool policy_service_covers(const struct rule_service *wide, const struct rule_service *narrow);
// Services of one list against those of another.
bool policy_services_cover(const struct rule *wide, const struct rule *narrow);
// Whether `wide` holds whenever `narrow` does.
bool policy_times_cover(const struct rule *wide, const struct rule *narrow);
