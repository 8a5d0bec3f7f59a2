// SPDX-License-Identifier: Apache-2.0
// What a member consists of. For member*.c and nobody else.
#pragma once

#include "server/grant.h"
#include "server/member.h"
#include "tun/dialogue.h"
#include "tun/witness.h"

struct member {
	struct member_tools tools;
	struct session *session;
	struct grant grant;
	bool granted;			 // it is in force
	uint8_t told[GRANT_DIGEST_SIZE]; // what the peer was told of it and of its routes
	unsigned peer_mtu;		 // largest inner packet that it takes
	struct connection *current;	 // NULL: lost, while the session goes on
	struct connection *previous;	 // until the peer's last word on it
	struct herald_line *line;	 // NULL: no herald
	struct dialogue dialogue;
	sd_event_source *timer;
	char reason
		[MESSAGE_TEXT_MAX]; // of the REAUTH that was sent; empty: none. Once it is cut or over: of that
	bool told_begun; // the witness
	bool is_cut;
	enum bye_code code; // of that
	uint64_t number;
};

// Arms the timer: after everything that may bring a deadline closer.
void member_arm(const struct member *member);
// The session is over, and the gateway is told: the member is gone afterwards.
void member_over(struct member *member, enum bye_code code, const char *text);
// The same for a reason of ours: the peer and the log are told as well.
void member_end(struct member *member, enum bye_code code, const char *text);
struct witness_news member_news(const struct member *member);
