// SPDX-License-Identifier: Apache-2.0
// What is granted to an identity, made true for its session, and told to its peer.
#pragma once

#include "server/admit.h"

struct error;
struct message_config;
struct session;

// From now on exactly this is the session's in the data plane: routes, rate, translation. `before`: what is in force; where it has the
// same routes, these are not touched. NULL: nothing is. -EEXIST: another session has one of the routes, and this one has none now. The
// error says why it cannot be; then the session must end.
int grant_apply(const struct grant *before, const struct grant *grant, struct session *session,
		struct error *error);
// The largest inner packet, where the gateway takes `own` and the peer `peer`.
unsigned grant_mtu(const struct grant *grant, unsigned own, unsigned peer);
// Borrows the routes.
void grant_say(const struct grant *grant, const struct grant_routes *routes, unsigned mtu,
	       struct message_config *ret);
