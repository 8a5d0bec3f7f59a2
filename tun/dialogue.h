// SPDX-License-Identifier: Apache-2.0
// What the two ends of a session tell each other about their policies (REFUSAL, QUESTION, ANSWER): one for each peer, with those who
// say in HELLO or READY that they speak it.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tun/inquiry.h"
#include "tun/refusals.h"

struct connection;
struct message;
struct session;

// Answers a peer's question: what would this node make of such a packet over that session? `ret` is zeroed but for its number.
// false: there is nothing to say.
typedef bool (*dialogue_asked)(const struct session *session,
			       const struct message_question *question, struct message_answer *ret,
			       void *data);

struct dialogue { // zeroed: with nobody
	bool spoken;
	struct refusals_due due; // to be told
	struct refusals *heard;	 // NULL: none yet
	struct inquiries inquiries;
	dialogue_asked asked; // NULL: nothing is answered
	void *data;
};

// The peer goes, too; whoever waits for its answer gets none.
void dialogue_done(struct dialogue *dialogue);

// One of the three messages came.
void dialogue_heard(struct dialogue *dialogue, const struct session *session,
		    struct connection *connection, const struct message *message, uint64_t now_ms);

// Tells the peer soon, if it listens; the same ones together.
void dialogue_refuse(struct dialogue *dialogue, const struct refusal *refusal, uint64_t now_ms);
// When dialogue_tick() has something to tell; CLOCK_NEVER.
uint64_t dialogue_deadline(const struct dialogue *dialogue);
void dialogue_tick(struct dialogue *dialogue, struct connection *connection, uint64_t now_ms);

// As inquiry_new(). -ENOTCONN: `connection` is NULL. -EOPNOTSUPP: the peer does not speak it.
int dialogue_ask(struct dialogue *dialogue, struct connection *connection,
		 const struct message_question *question,
		 void (*done)(const struct message_answer *answer, void *data), void *data,
		 struct inquiry **ret);
