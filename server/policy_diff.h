// SPDX-License-Identifier: Apache-2.0
// What one policy lets pass that another does not, and the other way round: exactly, over everything that rules can tell apart.
#pragma once

#include <stdbool.h>
#include <time.h>

#include "base/cleanup.h"
#include "tun/rule.h"

struct policy_diff;

// Peers and addresses at both ends between which the same changes, in words. Borrowed for the call.
struct policy_change {
	const char *from, *to;	   // "group:engineers", "net:staging", "anybody but ..."
	const char *gained, *lost; // services, "tcp/22, udp/53"; empty: none
};

// Of one program of both, with the rules that hold at `at`. `own` are the node's own addresses, NULL: not known. Borrows all until
// policy_diff_free(). Returns a new diff. 10,000 rules
// against the same with some changed take a fraction of a second, against quite others some seconds. -ENOMEM.
int policy_diff_new(const struct rules *old, const struct rules *new, enum filter_program program,
		    time_t at, const struct rule_net *own, struct policy_diff **ret);
struct policy_diff *policy_diff_free(struct policy_diff *diff); // takes NULL, returns NULL
DEFINE_CLEANUP(struct policy_diff *, policy_diff_free);
// Whether it was too much to look at all: then what is told is right, but there may be more.
bool policy_diff_cut(const struct policy_diff *diff);
// Tells all changes. -ENOMEM.
int policy_diff_each(const struct policy_diff *diff,
		     void (*each)(const struct policy_change *change, void *data), void *data);
// 1: allowed by the new one alone; -1: by the old one alone; 0: no difference.
int policy_diff_at(const struct policy_diff *diff, const struct rule_question *question);
