// SPDX-License-Identifier: Apache-2.0
// QUESTION and ANSWER: what the other end would make of a packet, for people who want to know why. A client asks what its gateway
// would let it do, a gateway what a client would let in. Part of tun/message.h.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

#include "base/addr.h"
#include "tun/message_refusal.h"

struct fields;

struct message_question {
	uint32_t number; // from 1; the answer repeats it
	struct addr from, to;
	uint8_t protocol;
	uint16_t port; // as in struct refusal
};

struct message_answer {
	uint32_t number;
	bool allow;
	char rule[MESSAGE_RULE_MAX];	// that decided: its name; empty: it has none
	char place[MESSAGE_RULE_MAX];	// empty: none decided
	char why[2 * MESSAGE_RULE_MAX]; // for people
};

// For message_encode() and message_decode(). False: out of memory.
bool message_question_encode(const struct message_question *question, json_t *object);
bool message_answer_encode(const struct message_answer *answer, json_t *object);
void message_question_decode(struct fields *fields, struct message_question *ret);
void message_answer_decode(struct fields *fields, struct message_answer *ret);
