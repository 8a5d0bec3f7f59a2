// SPDX-License-Identifier: Apache-2.0
// What one or two policies can tell apart: peers, addresses and services fall into atoms, within which no rule makes a difference. Every
// word of a rule is a set of them.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "server/policy_interval.h"
#include "tun/rule.h"

// Positions of atoms, ascending.
struct space_set {
	const unsigned *atoms;
	unsigned count;
};

// The first peer atom is who is in no group, or no peer at all.
struct space_peer {
	const char *example;	// an identity; NULL: of the first one
	struct rule_peer facts; // what else its certificate says; identity is not set
	const unsigned *groups; // that it is in, ascending, and RULE_NONE
};

// The part of a prefix that no smaller one has.
struct space_addr {
	struct prefix prefix;
	unsigned end;	      // behind the last atom that lies in the prefix
	bool empty;	      // smaller ones have all of it
	const unsigned *nets; // words that it is in, and RULE_NONE
};

struct space_word {
	const char *name;		// for people
	const struct rule_group *group; // as it was written: one of the two
	const struct rule_net *net;
	struct space_set set;
};

struct space_side {
	bool any;
	const unsigned *groups, *nets; // positions of words
	unsigned group_count, net_count;
};

struct space_rule {
	bool old, new; // which policy has it
	bool deny;
	struct space_side from, to;
	struct space_set services;
};

struct space {
	struct arena *arena;
	struct space_peer *peers;
	struct space_addr *addrs;
	struct policy_interval *services;
	size_t peer_count, addr_count, service_count;
	struct space_word *groups, *nets;
	unsigned group_count, net_count;
	struct space_rule *rules;
	unsigned rule_count;
	bool cut; // there are more kinds of peers than were looked at
};

// Of the rules of one program that hold at a time; the two may be one. `own` are the node's addresses; NULL: not known, and then none of
// those that a rule names. Borrows all until space_free(). Returns a new space. -ENOMEM.
int space_new(const struct rules *old, const struct rules *new, enum filter_program program,
	      time_t at, const struct rule_net *own, struct space **ret);
struct space *space_free(struct space *space); // takes NULL, returns NULL
DEFINE_CLEANUP(struct space *, space_free);

// The atoms of a question: from peer, from address, to peer, to address, service. false: it is of a kind that was left out (`cut`).
bool space_find(const struct space *space, const struct rule_question *question, unsigned atoms[5]);
