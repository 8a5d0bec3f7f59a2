// SPDX-License-Identifier: Apache-2.0
// Who is told what becomes of sessions, on the control thread: for the audit log and for answers to people.
#pragma once

#include "base/addr.h"
#include "tun/dialogue.h"
#include "tun/message.h"

struct session;

// What became of one; all borrowed for the call.
struct witness_news {
	const struct session *session;
	const struct prefix *addresses; // of the client
	unsigned address_count;
	enum bye_code code; // of one that is over, and why, for people
	const char *why;
};

struct witness {
	// The peer has proved itself, and packets may pass.
	void (*begun)(const struct witness_news *news, void *data);
	// The session is freed after this.
	void (*over)(const struct witness_news *news, void *data);
	dialogue_asked asked; // what this node would make of a packet over that session
	void *data;
};

// `witness` may be NULL in all of these.
static inline void witness_begun(const struct witness *witness, const struct witness_news *news)
{
	if (witness)
		witness->begun(news, witness->data);
}

static inline void witness_over(const struct witness *witness, const struct witness_news *news)
{
	if (witness)
		witness->over(news, witness->data);
}

// A dialogue with a peer that the witness answers.
static inline struct dialogue witness_dialogue(const struct witness *witness)
{
	return (struct dialogue){.asked = witness ? witness->asked : NULL,
				 .data = witness ? witness->data : NULL};
}
