// SPDX-License-Identifier: Apache-2.0
// HTTP for the EST service, over connections whose TLS has been taken off. HTTP is libmicrohttpd's, on a thread of its own, where
// the CA signs, too.
#pragma once

#include <stdbool.h>

#include "base/addr.h"
#include "base/cleanup.h"

struct error;
struct est_server;
struct verdict;

// Serves the CA in `directory`, as est_service_new(). Returns a new server.
int est_server_new(const char *directory, const char *passphrase_path, struct est_server **ret,
		   struct error *error);
// Waits for the request that is being answered. Takes NULL, returns NULL.
struct est_server *est_server_free(struct est_server *server);
DEFINE_CLEANUP(struct est_server *, est_server_free);

struct est_caller {
	struct endpoint peer;
	struct verdict *verdict; // of its certificate, judged good; NULL: it showed none
	bool admitted;		 // the identity of `verdict` is welcome here
};

// Takes a stream socket (closed on failure, too) on which a client speaks HTTP; takes a reference of the verdict. 0 or -errno.
int est_server_add(struct est_server *server, int fd, const struct est_caller *caller);
