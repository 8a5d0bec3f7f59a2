// SPDX-License-Identifier: Apache-2.0
// One admitted peer on a gateway: its session, its channels, what it was granted.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "server/admit.h"
#include "tun/message.h"

struct connection;
struct dataplane;
struct error;
struct herald;
struct inquiry;
struct member;
struct session;
struct tls_context;
struct witness;

// What a member needs of its gateway; all borrowed until member_free().
struct member_tools {
	sd_event *event;
	struct dataplane *dataplane;
	struct herald *herald;	       // NULL: none
	const struct witness *witness; // NULL: none
	unsigned keepalive_s;
	unsigned mtu;
	// The session is over: the gateway forgets the member and frees it. Called once, last.
	void (*over)(struct member *member, void *data);
	void *data;
};

// A new member for an open channel's identity, without keys yet. What is granted (copied) becomes routes of the data
// plane. The error says what the peer is told.
int member_new(const struct member_tools *tools, const char *identity, const struct grant *grant,
	       struct member **ret, struct error *error);
// Says `bye` on the channel (NULL: nothing), frees. Takes NULL, returns NULL.
struct member *member_free(struct member *member, const struct message_bye *bye);

// What is granted to the certificate of a new channel, before that is taken. Errors as of grant_apply().
int member_regrant(struct member *member, const struct grant *grant, struct error *error);
// Takes an open channel whose HELLO has been judged: next epoch, READY with the routes. On failure the connection is still
// the caller's.
int member_take_channel(struct member *member, struct connection *connection,
			const struct message_hello *hello, const struct grant_routes *routes,
			uint16_t udp_port, struct error *error);
// What other options would make of it.
void member_compare(const struct member *member, const struct admit_options *options,
		    struct grant_difference *ret);
// What is granted after a reload: the data plane's routes, and CONFIG to the peer where it changes. The error says why it cannot be;
// errors as of grant_apply().
int member_set_grant(struct member *member, const struct grant *grant,
		     const struct grant_routes *routes, struct error *error);
void member_set_keepalive(struct member *member, unsigned keepalive_s);
// REAUTH to the peer.
void member_reauth(struct member *member, unsigned within_s, const char *reason);
// Tells the peer soon what was not let through, if it listens.
void member_refuse(struct member *member, const struct refusal *refusal);
// As dialogue_ask().
int member_ask(struct member *member, const struct message_question *question,
	       void (*done)(const struct message_answer *answer, void *data), void *data,
	       struct inquiry **ret);
// Judges the peer again against this trust: what was withdrawn alone, or `whole`. -EACCES with the reason: it must go; that
// `ret_code` says to it.
int member_judge(struct member *member, struct tls_context *context, bool whole,
		 enum bye_code *ret_code, struct error *error);
// It must go: its keys are dropped at once. The rest follows with member_free(), and `ret` is what to say then.
void member_cut(struct member *member, enum bye_code code, const char *text);
bool member_is_cut(const struct member *member, struct message_bye *ret);
// Its number in struct roster, which alone writes it.
uint64_t *member_number(struct member *member);

struct session *member_session(const struct member *member);   // borrowed
const char *member_identity(const struct member *member);      // borrowed
const struct grant *member_grant(const struct member *member); // borrowed
