// SPDX-License-Identifier: Apache-2.0
// What a policy says that can hardly be meant: entries and rules that other ones make pointless, names that nothing uses, times that
// never come.
#pragma once

#include <stdbool.h>
#include <time.h>

#include "tun/filter.h"
#include "tun/rule.h"

struct error;

enum finding_place { FINDING_GROUP, FINDING_NET, FINDING_RULE };

struct finding {
	bool refused; // not only a warning
	bool unused;  // no rule uses it; something else may
	enum finding_place place;
	enum filter_program program; // of a rule
	unsigned position;	     // in struct rules
	const char *part;	     // of a rule, "from"; NULL: all of it
};

// `error` has no place, and goes with the call.
typedef void (*finding_found)(const struct finding *finding, const struct error *error, void *data);

// Looks at all, in the order of the rules, as if it were `now`. In time that grows with the size of the policy: where thousands of
// patterns could each make thousands of others pointless, not all are compared. -ENOMEM.
int policy_lint(const struct rules *rules, time_t now, finding_found found, void *data);
