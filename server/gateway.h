// SPDX-License-Identifier: Apache-2.0
// What accepts: listener, leases, and one member per admitted peer.
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "server/admit.h"
#include "server/declared.h"
#include "server/listener.h"
#include "tun/message_question.h"

struct dataplane;
struct error;
struct herald;
struct inquiry;
struct gateway;
struct session;
struct tls_context;
struct witness;

#define GATEWAY_END UINT64_MAX // a cursor over sessions that has not begun

// Borrowed until the next gateway_reload() or gateway_free().
struct gateway_options {
	struct admit_options admit;
	const struct endpoint *listen;
	unsigned listen_count;
	unsigned keepalive_s;
	unsigned reauth_within_s;
	unsigned max_sessions;
	unsigned mtu;
	uint32_t mark;
	const char *lease_path; // database
	const char *ca;		// directory of the CA that enrols and renews over HTTP; NULL: none
	const char *ca_passphrase; // file, or NULL
	// A peer trusts a CA certificate of our own trust domain that we do not know: our trust may be out of date.
	void (*unknown_anchor)(void *data);
	void *data;
	struct herald *herald;	       // passes denials on; NULL: none
	const struct witness *witness; // NULL: none
};

// Opens leases and sockets (TCP and UDP on the same endpoints) and starts to accept. `dataplane` is borrowed, a reference of the
// context taken. The error says what to do.
int gateway_new(sd_event *event, struct dataplane *dataplane, const struct gateway_options *options,
		struct tls_context *context, struct gateway **ret, struct error *error);
// BYE to everybody. Takes NULL, returns NULL.
struct gateway *gateway_free(struct gateway *gateway);
DEFINE_CLEANUP(struct gateway *, gateway_free);

// Who comes from now on, or proves its identity again, gets what these options say; the other sessions keep what they have, also of the
// options before, until gateway_grant(). On failure nothing changed.
int gateway_reload(struct gateway *gateway, const struct gateway_options *options,
		   struct error *error);
// Sessions that the change does not touch go on; those no longer admitted end; the others are told what is new. A few at a time; then
// `done`, unless gateway_free() is called before. Not twice at once.
void gateway_grant(struct gateway *gateway, void (*done)(void *data), void *data);
// What the two would make of each session; changes nothing. A few milliseconds of it, from `*cursor` on; GATEWAY_END: from the begin.
// false: that was all.
bool gateway_compare(const struct gateway *gateway, const struct gateway_options *options,
		     uint64_t *cursor,
		     void (*each)(const struct session *session,
				  const struct grant_difference *difference, void *data),
		     void *data);
// New credential, trust or revocations, or another time (the same context again): every live session is judged again, soon, by what
// was withdrawn alone or as a `whole`. Those that fail lose their keys first, then everything. With a `reason` the others are asked
// to prove themselves anew within reauth_within_s.
void gateway_set_context(struct gateway *gateway, struct tls_context *context, bool whole,
			 const char *reason);
// The number of sessions that it was (0 or 1).
unsigned gateway_disconnect(struct gateway *gateway, const char *identity);
// `identity` NULL: everybody, soon, as after gateway_set_context(). Returns the number asked.
unsigned gateway_reauth(struct gateway *gateway, const char *identity, const char *reason);

// As member_refuse() and member_ask(), by identity; who is not there hears nothing (-ENOTCONN).
void gateway_refuse(const struct gateway *gateway, const char *identity,
		    const struct refusal *refusal);
int gateway_ask(const struct gateway *gateway, const char *identity,
		const struct message_question *question,
		void (*done)(const struct message_answer *answer, void *data), void *data,
		struct inquiry **ret);

// Calls `each` for every session.
void gateway_each(const struct gateway *gateway,
		  void (*each)(struct session *session, const struct grant *grant, void *data),
		  void *data);
size_t gateway_count(const struct gateway *gateway);
// The same for whoever takes them a few at a time: the session that began last before `*cursor`, which moves. Who comes meanwhile is left
// out, who goes is not met. NULL: that was all. Both are borrowed until the loop goes on.
const struct session *gateway_before(const struct gateway *gateway, uint64_t *cursor,
				     const struct grant **ret_grant);
// What peers said of the CA certificates that they trust: as declared_each().
int gateway_each_declared(const struct gateway *gateway,
			  int (*each)(const struct declared *declared, void *data), void *data);
struct listener_counters gateway_counters(const struct gateway *gateway);
