// SPDX-License-Identifier: Apache-2.0
// The parts of a gateway, for the files that are its inside: gateway.c, arrival.c.
#pragma once

#include "server/gateway.h"
#include "server/guest.h"

#define REFUSED_RETRY_S 10u

struct leases;
struct enrol;
struct member;
struct regrant;
struct review;
struct roster;
struct verdict;

struct gateway {
	sd_event *event;
	struct dataplane *dataplane;
	struct gateway_options options;
	struct tls_context *context;
	struct listener *listener;
	struct leases *leases;
	struct enrol *enrol; // NULL: not served
	struct roster *roster;
	struct guests guests;
	struct review *review;
	struct regrant *regrant;
};

// Says `bye` (NULL: nothing), forgets and frees the member; its leases are kept for it.
void gateway_remove(struct gateway *gateway, struct member *member, const struct message_bye *bye);
// What the peer of this certificate gets, as admit_grant().
int gateway_grant_of(const struct gateway *gateway, const struct verdict *verdict,
		     struct grant *ret, struct grant_routes *ret_routes, struct error *error);
