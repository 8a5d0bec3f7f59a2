// SPDX-License-Identifier: Apache-2.0
// A revocation list as it is used: for which trust domain it speaks, and what holds when it is old, or was never read.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

struct crl;
struct crl_slot;
struct error;
struct revocation_chain;

struct crl_list {
	const char *name; // where it comes from, for sentences
	const char *domain;
	struct crl *crl;       // NULL: never read
	struct crl_slot *slot; // instead of it, where newer ones will follow
	bool hard; // without a current list nobody is let in whom it might name; else whoever it does not name
	unsigned grace_s; // after the time of its next update, in which it counts as current
};

// Both take one with a slot.
// Whether the list names a certificate of the chain. 0 or -EKEYREVOKED: by whom, when and why.
int crl_list_judge(const struct crl_list *list, const char *identity,
		   const struct revocation_chain *chain, time_t now, struct error *error);
// Whether it is current enough to say that it does not. 0 or -EKEYREVOKED.
int crl_list_current(const struct crl_list *list, const char *identity,
		     const struct revocation_chain *chain, time_t now, struct error *error);
