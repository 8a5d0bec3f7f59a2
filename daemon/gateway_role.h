// SPDX-License-Identifier: Apache-2.0
// The gateway role of this node, from configuration to a running gateway: options, the gateway's own addresses and kernel
// routes on this host.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "server/gateway.h"

struct apply;
struct claims;
struct config;
struct dataplane;
struct error;
struct gateway;
struct gateway_role;
struct grant_difference;
struct herald;
struct session;
struct terms;
struct tls_context;

struct gateway_role_tools { // borrowed until gateway_role_free(); the strings are copied
	sd_event *event;
	struct dataplane *dataplane;
	struct apply *apply;
	struct claims *claims;		    // of links; filled here
	struct herald *herald;		    // NULL: none
	const struct witness *witness;	    // NULL: none
	const char *identity;		    // of this node
	const char *state;		    // directory for the leases
	void (*unknown_anchor)(void *data); // as in struct gateway_options
	void (*claimed)(void *data);	    // the claims are others than before
	void *data;
};

// Nothing runs yet. Returns a new object.
int gateway_role_new(const struct gateway_role_tools *tools, struct gateway_role **ret,
		     struct error *error);
struct gateway_role *gateway_role_free(struct gateway_role *role); // takes NULL, returns NULL
DEFINE_CLEANUP(struct gateway_role *, gateway_role_free);

// Starts, changes or stops the gateway as `config` wants it, of which it takes a reference. On failure what was in force before
// stays so. Sessions that go on keep what they have until gateway_role_grant(), which is to follow before the next one. Takes the terms of
// the configuration, on failure too; NULL: makes them.
int gateway_role_set(struct gateway_role *role, struct config *config, struct terms *terms,
		     struct tls_context *context, struct error *error);
// A few sessions at a time; then `done`, at once where there is nothing to do, not at all where gateway_role_free() is called before.
void gateway_role_grant(struct gateway_role *role, void (*done)(void *data), void *data);

// What all of that would make of each session: slice after slice, none of more than a few milliseconds. Nothing changes.
struct comparison {
	void (*each)(const struct session *session, const struct grant_difference *difference,
		     void *data);
	void *data;
	// Its own; the options are all zero where no gateway is wanted, which admits nobody.
	const struct gateway_role *role;
	struct gateway_options options;
	struct terms *terms;
	uint64_t cursor;
};
// The caller has said `each`. Takes the terms of the configuration, NULL where no gateway is wanted; borrows the rest until
// comparison_done().
void gateway_role_compare(const struct gateway_role *role, const struct config *config,
			  struct terms *terms, struct comparison *ret);
bool comparison_go_on(struct comparison *comparison); // false: that was the last slice
void comparison_done(struct comparison *comparison);  // also of one that is all zero

struct gateway *
gateway_role_gateway(const struct gateway_role *role); // NULL: none, or `role` is NULL
