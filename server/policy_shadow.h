// SPDX-License-Identifier: Apache-2.0
// Rules that never decide because another one says all of theirs before, and names for the same. Each part of a policy is compared
// only with those that may matter, and with no more than a bound: a policy of 10,000 rules takes a fraction of a second.
#pragma once

#include <stdbool.h>

#include "tun/filter.h"
#include "tun/rule.h"

// Rule `rule` never decides because of rule `by`: one that denies, or of the same kind and before it; with `same`, the two are
// alike. One per rule.
struct shadow {
	enum filter_program program;
	unsigned rule, by;
	bool same;
};

// -ENOMEM.
int policy_shadows(const struct rules *rules, enum filter_program program,
		   void (*found)(const struct shadow *shadow, void *data), void *data);

// Two named groups, or two named networks, with the same entries.
struct twin {
	bool net;
	unsigned first, second; // positions
};

// -ENOMEM.
int policy_twins(const struct rules *rules, void (*found)(const struct twin *twin, void *data),
		 void *data);
