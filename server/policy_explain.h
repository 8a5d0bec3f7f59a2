// SPDX-License-Identifier: Apache-2.0
// Why a policy says what it says to one question: which rule decides, what would if that one were not there, and, where none allows
// it, which rules come nearest.
#pragma once

#include <stdbool.h>
#include <time.h>

#include "tun/filter.h"
#include "tun/rule.h"

#define POLICY_NEAR_MAX 5u

// What keeps a rule from matching.
enum policy_miss { MISS_FROM, MISS_TO, MISS_SERVICE, MISS_TIME };

struct policy_explanation {
	struct filter_verdict verdict; // rule FILTER_NO_RULE: none decides
	struct rule_why why;	       // of that rule
	struct filter_verdict next;    // without that rule
	// Rules that would allow it but for one thing, in their order.
	struct {
		uint32_t rule;
		enum policy_miss miss;
	} near[POLICY_NEAR_MAX];
	unsigned near_count;
};

// As if it were `now`. Linear in the rules. -ENOMEM.
int policy_explain(const struct rules *rules, time_t now, const struct rule_question *question,
		   struct policy_explanation *ret);
