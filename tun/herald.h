// SPDX-License-Identifier: Apache-2.0
// Passes denials on (pki/denials.h): what this node learns it tells all its peers, over the channels that there are, and what a peer
// knows more of it takes. So what a CA withdraws is known everywhere as fast as packets travel.
#pragma once

#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "tun/message.h"

struct connection;
struct denial_store;
struct error;
struct herald;
struct herald_line;
struct trust;

struct herald_tools { // borrowed until herald_free()
	sd_event *event;
	struct denial_store *store;
	struct trust *(*trust)(void *data); // of today; borrowed
	void *data;
};

int herald_new(const struct herald_tools *tools, struct herald **ret); // 0 or -errno
struct herald *herald_free(struct herald *herald); // no line may be left; takes NULL, returns NULL
DEFINE_CLEANUP(struct herald *, herald_free);

// For HELLO and READY: what is known here. `herald` NULL: nothing is said.
void herald_say(const struct herald *herald, struct message_denials *ret);
// The store has another list: all peers that lack it are told, soon, a few at a time.
void herald_changed(struct herald *herald);

// A peer, known by `name` (copied). `channel` is where its channel stands (NULL there: none now), for as long as the line lives. Returns
// a new line; NULL: out of memory, or `herald` is NULL.
struct herald_line *herald_line_new(struct herald *herald, struct connection *const *channel,
				    const char *name);
struct herald_line *herald_line_free(struct herald_line *line); // takes NULL, returns NULL
// A new channel stands there, on which the peer said what it has; it is sent what it lacks. `line` may be NULL.
void herald_line_open(struct herald_line *line, const struct message_denials *said);
// DENY came. What cannot be believed changes nothing. -EPROTO with the reason: the peer must know better. `line` may be NULL.
int herald_line_heard(struct herald_line *line, const struct message_deny *deny,
		      struct error *error);
