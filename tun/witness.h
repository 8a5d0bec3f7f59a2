// SPDX-License-Identifier: Apache-2.0
// Who is told what becomes of sessions, on the control thread: for the audit log and for answers to people.
#pragma once

#include "tun/dialogue.h"
#include "tun/message.h"

struct session;

struct witness {
	// The peer has proved itself, and packets may pass.
	void (*begun)(const struct session *session, void *data);
	// It is over, `why` for people; the session is freed after this.
	void (*over)(const struct session *session, enum bye_code code, const char *why,
		     void *data);
	dialogue_asked asked; // what this node would make of a packet over that session
	void *data;
};

static inline void witness_begun(const struct witness *witness, const struct session *session)
{
	if (witness)
		witness->begun(session, witness->data);
}

static inline void witness_over(const struct witness *witness, const struct session *session,
				enum bye_code code, const char *why)
{
	if (witness)
		witness->over(session, code, why, witness->data);
}

// A dialogue with a peer, answered by the witness (NULL: not at all).
static inline struct dialogue witness_dialogue(const struct witness *witness)
{
	return (struct dialogue){.asked = witness ? witness->asked : NULL,
				 .data = witness ? witness->data : NULL};
}
