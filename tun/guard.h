// SPDX-License-Identifier: Apache-2.0
// What packets are judged by, one for all workers: the filter that rules, who the peers are to it, and the flows that it let begin.
// Workers judge in tun/pass.c; this is the control thread's side.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <openssl/x509.h>

#include "tun/filter.h"
#include "tun/flow.h"
#include "tun/fragment.h"
#include "tun/subject.h"

struct lpm;

struct guard {
	struct subjects *subjects;
	struct flows *flows;
	struct fragments *fragments;
	_Atomic(struct filter *) filter; // NULL: everything passes, and nothing makes a flow
	_Atomic(struct lpm *) own;	 // this node's addresses; the filter looks at them
	// The control thread's own.
	struct filter *next; // being prepared; borrowed; NULL: none
	unsigned prepared;   // numbers of subjects that have been looked at
};

// -ENOMEM: guard_done() takes back what was made.
int guard_init(struct guard *guard);
void guard_done(struct guard *guard); // no worker may be left

// A peer as filters and profiles see it; borrows both.
struct filter_peer guard_peer(const char *identity, const struct facts *facts);

// Gives all subjects a class in the filter that is to rule next, a few milliseconds at a time, while sessions come and go. Borrows it until it rules, or
// another one or NULL is prepared. 1: that was all; 0: call again; -ENOMEM.
int guard_prepare(struct guard *guard, struct filter *filter);
// From now on this filter (taken; NULL: none) judges, for all sessions at once; waits for the workers and frees the one before. Flows
// are judged again when their next packet comes, and by guard_tend(). Without guard_prepare() it takes longer the more sessions there
// are. On -ENOMEM nothing has changed, and the filter stays the caller's.
int guard_set_filter(struct guard *guard, struct filter *filter);

// From now on these are this node's own addresses, also for flows over links; waits for the workers. -ENOMEM: as before.
int guard_set_own(struct guard *guard, const struct addr *addresses, unsigned count);

// The subject of one more session, with a class by its identity alone until guard_set_facts(). Errors as for subject_get().
int guard_admit(struct guard *guard, const char *identity, bool link, struct subject **ret);
// That session is over, and no worker has it in hand. Takes NULL.
void guard_leave(struct guard *guard, struct subject *subject);
// What its new certificate says counts from now on, for the flows that it has too. -ENOMEM: what the one before said still does.
int guard_set_facts(struct guard *guard, struct subject *subject, const X509 *certificate);

// A few milliseconds of what is to be done again and again: once a second.
void guard_tend(struct guard *guard);

// What another filter would do to the flows there are, before it rules: slice after slice, none of more than a few milliseconds.
struct guard_trial {
	struct filter *filter; // gets classes for all subjects first; borrowed
	uint64_t kept, cut;    // so far
	void (*each)(const struct flow *flow,
		     void *data); // for those that it would cut; NULL: for none
	void *data;
	bool failed;	     // out of memory: not all was tried
	unsigned classified; // subjects; 0: the beginning
	size_t cursor;	     // over the flows; likewise
};
// false: that was the last.
bool guard_try(const struct guard *guard, struct guard_trial *trial);

// What judges a flow between these, or judged it: grows when anything of it does.
uint32_t guard_generation(const struct filter *filter, const struct subject *from,
			  const struct subject *to);
// By all programs whose bit is set, which must all allow it; what none has a say in is allowed. Sets question->program. `ret_program`:
// whose rule decided.
void guard_judge(const struct filter *filter, unsigned programs, struct filter_question *question,
		 struct filter_verdict *ret, enum filter_program *ret_program);
// Judges a flow as its first packet was.
void guard_judge_flow(const struct filter *filter, const struct flow *flow,
		      struct filter_verdict *ret, enum filter_program *ret_program);
