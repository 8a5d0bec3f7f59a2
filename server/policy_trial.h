// SPDX-License-Identifier: Apache-2.0
// The tests that a policy carries, asked of the filter that is made of it.
#pragma once

#include <stdbool.h>
#include <time.h>

#include "base/addr.h"
#include "tun/filter.h"
#include "tun/rule.h"

struct error;

// One end of a test.
struct policy_end {
	const char *identity; // NULL: only an address
	// What it has; of a peer any that it may have, or none. AF_UNSPEC: none of this family.
	struct addr v4, v6;
};

// One test.
struct policy_test {
	const char *name;  // NULL: none
	const char *place; // "policy.conf:34"
	enum filter_program program;
	struct policy_end from, to;
	const char *unit, *issuer; // of `from`; NULL: none
	bool hardware;
	time_t at; // 0: now
	const struct rule_service *allow, *deny;
	unsigned allow_count, deny_count;
};

// Called for every test that fails, once: `error` says where it stands, what was asked, and which rule decided.
typedef void (*policy_failed)(unsigned test, const struct error *error, void *data);

// Runs all tests as if it were `now`. Any thread (a job): each different `at` costs one compilation, each service of a test as many
// questions as there are limits of rules within it. `ret_failed` gets the number of those that failed. -ENOMEM, -E2BIG.
int policy_trial(const struct rules *rules, const struct policy_test *tests, unsigned count,
		 time_t now, policy_failed failed, void *data, unsigned *ret_failed,
		 struct error *error);
