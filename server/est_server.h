// SPDX-License-Identifier: Apache-2.0
// The EST service (RFC 7030, 8951) over connections whose TLS has been taken off: cacerts, csrattrs, simpleenroll by token,
// simplereenroll by certificate. HTTP is libmicrohttpd's, on a thread of its own, where the CA signs, too.
#pragma once

#include <openssl/x509.h>

#include "base/addr.h"
#include "base/cleanup.h"

struct error;
struct est_server;

// Serves the CA in `directory` (as `mutun ca init` makes it; copied). Opened anew for each request: a CA that is rotated, locked
// or away for a while needs no restart. Returns a new service.
int est_server_new(const char *directory, struct est_server **ret, struct error *error);
struct est_server *est_server_free(struct est_server *server); // takes NULL, returns NULL
DEFINE_CLEANUP(struct est_server *, est_server_free);

// Takes a stream socket (closed on failure, too) on which a client at `peer` speaks HTTP. `certificate` (may be NULL) is the
// client's own, judged good. 0 or -errno.
int est_server_add(struct est_server *server, int fd, const struct endpoint *peer,
		   X509 *certificate);
