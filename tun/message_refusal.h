// SPDX-License-Identifier: Apache-2.0
// REFUSAL: what a gateway did not let through, told to the peer that sent it, with the rule. Part of tun/message.h.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

#include "base/addr.h"

struct fields;

#define MESSAGE_REFUSALS_MAX 16u
#define MESSAGE_RULE_MAX     128u // a rule's name, and its place, with the NUL

struct refusal {
	struct addr from, to;
	uint8_t protocol;
	uint16_t port;		      // of the destination; ICMP: type << 8 | code; else 0
	char rule[MESSAGE_RULE_MAX];  // its name; empty: it has none
	char place[MESSAGE_RULE_MAX]; // where it stands, "policy.conf:12"; empty: no rule allows it
	uint64_t count;		      // flows that were tried, from 1, since the last message
};

struct message_refusal {
	struct refusal list[MESSAGE_REFUSALS_MAX];
	unsigned count;	 // from 1
	uint64_t others; // that found no place in the list
};

// For message_encode() and message_decode(). False: out of memory.
bool message_refusal_encode(const struct message_refusal *refusal, json_t *object);
void message_refusal_decode(struct fields *fields, struct message_refusal *ret);
