// SPDX-License-Identifier: Apache-2.0
// The compiled policy: what the packet path asks when no flow answers. Made of struct rules (tun/rule.h) by server/policy.h,
// shared by all workers under RCU, swapped whole.
//
// Threads: one thread at a time (a job while it is made, then the control thread) asks for classes and sets them; workers only
// read. What a worker can reach never changes.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/cleanup.h"

struct filter;
struct lpm;
struct filter_class; // what all peers of equal groups are to the filter
struct rules;

#define FILTER_SUBJECTS_MAX 65536u // numbers that filter_set_class() takes
#define FILTER_RULES_MAX    65536u // of one program
#define FILTER_NO_RULE	    UINT32_MAX

enum filter_program {
	FILTER_RULES, // of a gateway: between its sessions, and between them and what is behind it
	FILTER_INBOUND, // of a client: what comes in over its links
};
#define FILTER_PROGRAMS 2u

// What a peer is judged by: facts of its certificate. Borrowed for the call that takes it.
struct filter_peer {
	const char *identity; // canonical (pki/identity.h)
	const char *
		issuer; // name of the CA that signed the certificate, RFC 2253; NULL: unknown, equal to none
	const char *const *units; // all OUs of its subject
	unsigned unit_count;
	bool hardware; // the certificate says that the key cannot leave its hardware
};

struct filter_side {
	const struct filter_class *class; // NULL: no peer, only an address
	const struct addr *addr;
};

struct filter_question {
	enum filter_program program;
	struct filter_side from, to;
	uint8_t protocol; // IPPROTO_...
	uint16_t port; // of the destination; ICMP and ICMPv6: type << 8 | code; other protocols: 0
};

struct filter_verdict {
	bool allow;
	bool reject; // when not allowed: answer the sender
	bool log;
	bool own; // the rule allows only what goes to this node itself
	uint32_t
		rule; // position in the program's list of struct rules; FILTER_NO_RULE: none, so denied
};

// The rules of which `active` says so (positions of the program; NULL: all), the others as if they were not there. Copies what it
// needs of `rules`. Any thread. -ENOMEM; -E2BIG: more than FILTER_RULES_MAX.
int filter_new(const struct rules *rules, const bool *const active[FILTER_PROGRAMS],
	       struct filter **ret);
// No reader may be left; takes its classes with it. Takes NULL, returns NULL.
struct filter *filter_free(struct filter *filter);
DEFINE_CLEANUP(struct filter *, filter_free);

// The class of a peer; equal ones are the same pointer. Borrowed until the filter goes. NULL: out of memory.
const struct filter_class *filter_class_of(struct filter *filter, const struct filter_peer *peer);
// Of a subject's number, 1..FILTER_SUBJECTS_MAX-1; NULL takes it back. Before the session is published.
void filter_set_class(struct filter *filter, unsigned subject, const struct filter_class *class);
// This node's addresses, as they are whenever the filter is asked; borrowed. Before it is published. Without them every address is its.
void filter_set_own(struct filter *filter, _Atomic(struct lpm *) const *own);
// The filter takes the place of `before` (NULL: of none): its generation is one more. Before it is published.
void filter_follow(struct filter *filter, const struct filter *before);

// Workers, under RCU; and explain, tests, diff with classes of their own.
// NULL: number 0, or none set: a peer that no rule knows, which is judged by its address alone.
const struct filter_class *filter_class(const struct filter *filter, unsigned subject);
uint32_t filter_generation(const struct filter *filter); // 1 and up
void filter_judge(const struct filter *filter, const struct filter_question *question,
		  struct filter_verdict *ret);
