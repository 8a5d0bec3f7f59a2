// SPDX-License-Identifier: Apache-2.0
// HELLO and READY as the dialling side speaks and takes them.
#pragma once

#include <stdint.h>

#include "tun/message.h"

struct connection;
struct session;

// HELLO for a session that may have been up before (then it asks to go on with it).
void greeting_hello(const struct session *session, unsigned lanes, unsigned mtu,
		    struct message *ret);
// READY came on `connection`: the session gets its id, its next epoch and its path. Errors as for session_install().
int greeting_ready(struct session *session, struct connection *connection,
		   const struct message_ready *ready, unsigned mtu, const char *reason,
		   uint64_t now);
