// SPDX-License-Identifier: Apache-2.0
// What the ends of a tunnel would make of a packet: this node's answer to its peers, and what the other end of a session says.
//   {"command": "explain", "from": IDENTITY or ADDRESS, "to": ADDRESS, "protocol": "tcp", "port": 22}
// answers with a line for each end: {"end": "here" or IDENTITY, "allow": true, "rule": ..., "place": ..., "why": ...}, or with "error" in
// place of the verdict where that end cannot be asked.
#pragma once

#include <stdbool.h>
#include <jansson.h>

struct engine;
struct error;
struct feed;
struct message_answer;
struct message_question;
struct session;

// As dialogue_asked(); `data` is the engine. A peer is told only what concerns its own packets, or those it would pass to us.
bool explain_asked(const struct session *session, const struct message_question *question,
		   struct message_answer *ret, void *data);

// Opens the feed. 0 or -errno with the reason.
int explain_open(struct engine *engine, const json_t *request, struct feed *feed,
		 struct error *error);
