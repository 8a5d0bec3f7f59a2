// SPDX-License-Identifier: Apache-2.0
// The words of a space: groups and networks of both policies, equal ones once. Only for policy_space.c and space_*.c.
#pragma once

#include "tun/rule.h"

struct space;

// The positions in the space of what one policy names.
struct space_names {
	unsigned *groups, *nets;
	unsigned own; // the node's own addresses, a network, where a rule is for these alone
};
void space_names_done(struct space_names *names);

// Makes space->groups and space->nets, without their sets, for one program. `own` (NULL: not known) and both policies are borrowed by the space. -ENOMEM;
// what was made is taken back by space_names_done() in any case.
int space_words_make(struct space *space, const struct rules *old, const struct rules *new,
		     enum filter_program program, const struct rule_net *own,
		     struct space_names *ret_old, struct space_names *ret_new);
