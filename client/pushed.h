// SPDX-License-Identifier: Apache-2.0
// What a gateway pushed over one link: addresses, routes and name servers, in the data plane and on this host.
#pragma once

#include "base/addr.h"
#include "tun/message.h"

struct apply;
struct dataplane;
struct dns;
struct error;
struct host;
struct session;

struct pushed {
	// Set once, borrowed.
	const char *link; // its name
	struct dataplane *dataplane;
	struct host *host;
	struct apply *apply;
	struct dns *dns;
	const struct prefix *accept; // routes that may be taken; none: all
	unsigned accept_count;
	unsigned mtu; // of the interface

	struct prefix addresses[MESSAGE_ADDRESSES_MAX];
	unsigned address_count;
	struct prefix *routes; // owned
	unsigned route_count;
	struct message_push more;
	bool lowered; // the interface has less than `mtu`
};

// From now on exactly this is in force for `session`. -EPROTO, and nothing changed, for what no gateway may push: addresses, routes and
// name servers that are not hosts elsewhere, addresses that another interface of this host has. Routes that the link does not accept, and those that another session
// has, are left out and said in the log. On failure the error says what; addresses and routes may be incomplete.
int pushed_set(struct pushed *pushed, struct session *session, const struct message_config *config,
	       struct error *error);
// Nothing is in force any more; the session's routes in the data plane went with the session.
void pushed_clear(struct pushed *pushed);
