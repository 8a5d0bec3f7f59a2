// SPDX-License-Identifier: Apache-2.0
// The client role of this node, from configuration to running links: those that stay as they are go on through a reload.
#pragma once

#include <stdbool.h>

#include "base/cleanup.h"
#include "client/initiator.h"

struct client_role;
struct config;
struct error;

// Nothing is dialled yet. Copies the tools, whose parts are borrowed until client_role_free(). NULL: out of memory.
struct client_role *client_role_new(const struct initiator_tools *tools);
// Takes the links down. Takes NULL, returns NULL.
struct client_role *client_role_free(struct client_role *role);
DEFINE_CLEANUP(struct client_role *, client_role_free);

// Makes room for the links of `config`, so that client_role_set() cannot fail. -ENOMEM.
int client_role_prepare(struct client_role *role, const struct config *config, struct error *error);
// Starts, keeps or ends links as `config` wants them, which was prepared last. A link that cannot be started is logged.
void client_role_set(struct client_role *role, const struct config *config,
		     struct tls_context *context);
// What client_role_set() would make of links; changes nothing.
enum link_change { LINK_KEPT, LINK_BEGUN, LINK_ANEW, LINK_ENDED };
int client_role_compare(const struct client_role *role, const struct config *config,
			void (*each)(const char *name, enum link_change change, void *data),
			void *data);
// The same as of one initiator, for each of them.
void client_role_set_context(struct client_role *role, struct tls_context *context, bool whole,
			     const char *reason);
void client_role_judge_routes(struct client_role *role); // takes NULL
void client_role_network_changed(struct client_role *role);

// By link name or identity; `which` NULL: all. The number asked.
unsigned client_role_reauth(struct client_role *role, const char *which, const char *reason);
// The number of links that left the gateway of this identity.
unsigned client_role_disconnect(struct client_role *role, const char *identity);
// Borrowed; NULL past the end, or when `role` is NULL.
struct initiator *client_role_link(const struct client_role *role, unsigned position);
