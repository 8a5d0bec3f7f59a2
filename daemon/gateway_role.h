// SPDX-License-Identifier: Apache-2.0
// The gateway role of this node, from configuration to a running gateway: options, the gateway's own addresses and kernel
// routes on this host.
#pragma once

#include <systemd/sd-event.h>

#include "base/cleanup.h"

struct apply;
struct config;
struct dataplane;
struct error;
struct gateway;
struct gateway_role;
struct grant_difference;
struct herald;
struct session;
struct tls_context;

struct gateway_role_tools { // borrowed until gateway_role_free(); the strings are copied
	sd_event *event;
	struct dataplane *dataplane;
	struct apply *apply;
	struct herald *herald;		    // NULL: none
	const struct witness *witness;	    // NULL: none
	const char *identity;		    // of this node
	const char *state;		    // directory for the leases
	void (*unknown_anchor)(void *data); // as in struct gateway_options
	void *data;
};

// Nothing runs yet. Returns a new object.
int gateway_role_new(const struct gateway_role_tools *tools, struct gateway_role **ret,
		     struct error *error);
struct gateway_role *gateway_role_free(struct gateway_role *role); // takes NULL, returns NULL
DEFINE_CLEANUP(struct gateway_role *, gateway_role_free);

// Starts, changes or stops the gateway as `config` wants it, of which it takes a reference. On failure what was in force before
// stays so.
int gateway_role_set(struct gateway_role *role, struct config *config, struct tls_context *context,
		     struct error *error);
// What gateway_role_set() would make of each session; changes nothing. -ENOMEM.
int gateway_role_compare(const struct gateway_role *role, const struct config *config,
			 void (*each)(const struct session *session,
				      const struct grant_difference *difference, void *data),
			 void *data);
struct gateway *
gateway_role_gateway(const struct gateway_role *role); // NULL: none, or `role` is NULL
