// SPDX-License-Identifier: Apache-2.0
// The inside of an initiator, shared by its two halves: initiator.c (life and loop) and conversation.c (what is said on the
// channels). Nobody else includes it.
#pragma once

#include "client/initiator.h"
#include "client/pushed.h"
#include "tun/dialogue.h"
#include "tun/message.h"

struct connection;
struct herald_line;
struct resolve;

struct initiator {
	struct initiator_tools tools;
	struct link *link;
	char *name;
	char *pattern;
	struct initiator_target *targets; // hosts owned
	unsigned target_count;
	struct prefix *accept;
	unsigned accept_count;
	unsigned mtu;
	uint32_t mark;

	struct tls_context *context;
	sd_event_source *timer;
	struct resolve *resolve;
	struct connection *next, *current, *previous;
	uint64_t previous_until_ms;
	struct endpoint endpoint; // dialled last
	uint64_t ping_ms;	  // when the next PING is due
	uint64_t pong_due_ms;	  // CLOCK_NEVER: none is awaited
	uint64_t ping_every_ms;

	struct session *session;
	struct herald_line *line; // NULL: no herald
	bool told_begun;	  // the witness, of this session
	struct dialogue dialogue;
	char reason[MESSAGE_TEXT_MAX]; // why identity is proved again
	struct pushed pushed;
	struct error last_error;
	unsigned refusals; // of our certificate
};

// Sends what is due, dials what is wished, arms the timer: after every event.
void initiator_follow(struct initiator *initiator);
// Does all that is due, of the session and of the channel too. `data`: the initiator.
void initiator_tick(void *data);
