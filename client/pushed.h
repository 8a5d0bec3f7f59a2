// SPDX-License-Identifier: Apache-2.0
// What a gateway pushed over one link: addresses, routes and name servers, in the data plane and on this host.
#pragma once

#include "base/addr.h"
#include "tun/message.h"

struct apply;
struct claims;
struct dataplane;
struct dns;
struct error;
struct host;
struct session;

enum pushed_why {
	PUSHED_NOT_ACCEPTED,
	PUSHED_TAKEN, // by another session
	PUSHED_CLAIMED,
};

// A route that was left out.
struct pushed_refusal {
	struct prefix route;
	enum pushed_why why;
	struct prefix claim; // with PUSHED_CLAIMED: what it lies within
};

struct pushed {
	// Set once, borrowed.
	const char *link; // its name
	struct dataplane *dataplane;
	struct host *host;
	struct apply *apply;
	struct dns *dns;
	const struct claims *claims; // NULL: none
	const struct prefix *accept; // routes that may be taken; none: all
	unsigned accept_count;
	unsigned mtu; // of the interface

	struct prefix addresses[MESSAGE_ADDRESSES_MAX];
	unsigned address_count;
	struct prefix *offered; // owned, as all of these: all routes that were pushed
	unsigned offered_count;
	struct prefix *routes; // that are in force
	unsigned route_count;
	struct pushed_refusal *refused; // the others, by prefix_compare()
	unsigned refused_count;
	struct message_push more;
	bool lowered; // the interface has less than `mtu`
};

// From now on exactly this is in force for `session`. -EPROTO, and nothing changed, for what no gateway may push: addresses, routes and
// name servers that are not hosts elsewhere, addresses that another interface of this host or a peer of its gateway has. Routes that the link does not accept, those
// that another session has, and those within what is claimed here (but where an `accept` itself lies within that) are left out and said in the log, once. On failure
// the error says what; addresses and routes may be incomplete.
int pushed_set(struct pushed *pushed, struct session *session, const struct message_config *config,
	       struct error *error);
// The claims are others than before: judges the same routes again. -EPROTO, and nothing changed: an address is claimed now, the link must not stay.
int pushed_judge(struct pushed *pushed, struct session *session, struct error *error);
// "not accepted", for people. Returns `text`.
#define PUSHED_TEXT_MAX (PREFIX_TEXT_MAX + 64)
const char *pushed_words(const struct pushed_refusal *refusal, char text[PUSHED_TEXT_MAX]);
// Nothing is in force any more; the session's routes in the data plane went with the session.
void pushed_clear(struct pushed *pushed);
