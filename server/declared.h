// SPDX-License-Identifier: Apache-2.0
// What the peers of this gateway said last of the CA certificates that they trust: the material of `mutun ca readiness`.
#pragma once

#include <time.h>

#include "tun/message.h"

struct lease_db;

struct declared {
	const char *identity;
	const struct message_anchors *anchors; // none: it does not say
	time_t seen;
};

// Remembers it; `db` may be NULL. `serial` is of the certificate by which the peer proved who it is: where neither that nor what it
// trusts is new, it is not noted anew that it was seen, but once a day.
void declared_put(struct lease_db *db, const char *identity, const struct message_anchors *anchors,
		  const char *serial, time_t now);
// Calls `each` for every identity that was ever heard, in the order of their names. A failure of `each` stops the walk and is
// returned. -EIO.
int declared_each(struct lease_db *db, int (*each)(const struct declared *declared, void *data),
		  void *data);
