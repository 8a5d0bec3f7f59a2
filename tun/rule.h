// SPDX-License-Identifier: Apache-2.0
// The policy as it was written, with all names resolved; and what it means, spelled out rule by rule. The filter (tun/filter.h)
// says the same at once. Plain data: whoever fills it owns it and frees it.
//
// (It is in tun/ and not in server/, because a client has rules of its own and the filter is made of them.)
//
// How a question is answered: of the rules of the program that hold now, the first deny whose `from`, `to` and services match;
// otherwise the first allow; otherwise denied by FILTER_NO_RULE. A client without `inbound` gets one rule that allows
// icmp/echo-request from any to itself: who fills the structure puts it there.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/addr.h"
#include "tun/filter.h"

struct zone; // base/zone.h

#define RULE_NONE UINT32_MAX // a position: nothing

// One alternative of a group; all that is set must hold. At least one thing is set.
struct rule_peer {
	const char *identity; // pattern (pki/identity.h); NULL: any identity
	const char *issuer;   // as in struct filter_peer; NULL: any
	const char *unit;     // one of the peer's; NULL: any
	bool hardware;	      // true: its key must be in hardware
};

struct rule_group {
	const char *name; // NULL: written in a rule
	const struct rule_peer *peers;
	unsigned peer_count; // 1 and up
};

// Networks, hosts, "self". Without prefixes ("self" of a gateway that has no addresses) it holds nothing.
struct rule_net {
	const char *name;	       // NULL: written in a rule
	const struct prefix *prefixes; // no host bits
	unsigned prefix_count;
};

// One alternative.
struct rule_service {
	bool any_protocol; // then the rest says nothing
	// IPPROTO_...; the second is 0 but for "icmp", which is ICMP and ICMPv6.
	uint8_t protocols[2];
	// Destination ports, or ICMP type << 8 | code. 0..65535: all, also of protocols that have no ports.
	uint16_t first, last;
};

// Alternatives: any, a group that holds the peer at this side, a network that holds the address at this side.
struct rule_side {
	bool any;
	const unsigned *groups; // positions in struct rules
	unsigned group_count;
	const unsigned *nets; // likewise
	unsigned net_count;
};

// In the rule's zone. `to_min` <= `from_min`: over midnight, and belongs to the day on which it begins.
struct rule_hours {
	uint8_t days;	   // bit 0: Monday
	uint16_t from_min; // minute of the day, 0..1439
	uint16_t to_min;   // 0..1440: the first minute that is out
};

struct rule {
	const char *name;  // NULL: none
	const char *place; // "policy.conf:34"
	struct rule_side from, to;
	const struct rule_service *services;
	unsigned service_count;
	bool deny;
	bool reject; // of deny rules: the sender gets an answer ("refuse" is worked in already)
	bool log;
	bool own; // allows only what goes to this node itself, whose addresses the filter knows
	time_t expires;			// from then on as if it were not there; 0: never
	const struct rule_hours *hours; // alternatives
	unsigned hour_count;		// 0: always
	const struct zone *zone;	// of `hours`; NULL: the host's
	const char *zone_name;		// likewise
};

// One node's.
struct rules {
	const struct rule_group *groups;
	unsigned group_count;
	const struct rule_net *nets;
	unsigned net_count;
	const struct rule *rules; // FILTER_RULES
	unsigned rule_count;
	const struct rule *inbound; // FILTER_INBOUND
	unsigned inbound_count;
	bool reject; // what no rule allows is answered
};

// Of a program.
const struct rule *rules_of(const struct rules *rules, enum filter_program program,
			    unsigned *ret_count);

// The rules of a program that hold, in the order in which they decide: first all deny, then all allow.
struct rule_order {
	const struct rule **rules; // allocated
	unsigned count;
};
// `active` as in filter_new(). -ENOMEM.
int rules_order(const struct rules *rules, enum filter_program program,
		const bool *const active[FILTER_PROGRAMS], struct rule_order *ret);
void rule_order_done(struct rule_order *order);

// --- What the parts mean

bool rule_peer_matches(const struct rule_peer *pattern, const struct filter_peer *peer);
bool rule_service_matches(const struct rule_service *service, uint8_t protocol, uint16_t port);

// Which word of a side matched: any, or the alternative `peer` of the group, or the prefix of the network. Positions; RULE_NONE.
struct rule_word {
	bool any;
	unsigned group, peer;
	unsigned net, prefix;
};

// `peer` NULL: none. Groups are looked at before networks. `ret` may be NULL.
bool rule_side_matches(const struct rules *rules, const struct rule_side *side,
		       const struct filter_peer *peer, const struct addr *addr,
		       struct rule_word *ret);

// What is said when the rule decides; `list` is the program's.
struct filter_verdict rule_verdict(const struct rule *rule, const struct rule *list);

// --- The whole question, asked with facts instead of classes

struct rule_question {
	enum filter_program program;
	struct {
		const struct filter_peer *peer; // NULL: only an address
		const struct addr *addr;
	} from, to;
	uint8_t protocol;
	uint16_t port; // as in struct filter_question
	bool beyond;   // it is known to go not to this node itself, but to what is behind it
};

// Why a rule matched.
struct rule_why {
	struct rule_word from, to;
	unsigned service; // position in the rule
};

// Slow, and obviously right: for explanations and tests. `active` as in filter_new(). `ret_why` may be NULL; it is written when
// a rule decided.
void rules_judge(const struct rules *rules, const bool *const active[FILTER_PROGRAMS],
		 const struct rule_question *question, struct filter_verdict *ret,
		 struct rule_why *ret_why);
