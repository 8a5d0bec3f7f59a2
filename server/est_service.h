// SPDX-License-Identifier: Apache-2.0
// What the EST service answers (RFC 7030, 8951): cacerts, csrattrs, simpleenroll by token, simplereenroll by certificate. Between
// the CA and whoever speaks HTTP: a request in, an answer out. Signing writes to the disk: not for the control thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "base/cleanup.h"

struct error;
struct est_service;
struct verdict;

enum est_status { // RFC 9110, 15; RFC 6585, 4
	EST_OK = 200,
	EST_EMPTY = 204,
	EST_MALFORMED = 400,
	EST_UNAUTHORIZED = 401,
	EST_FORBIDDEN = 403,
	EST_NOTHING_HERE = 404,
	EST_WRONG_METHOD = 405,
	EST_TOO_LARGE = 413,
	EST_TOO_OFTEN = 429,
	EST_UNAVAILABLE = 503,
};

// All borrowed for the call.
struct est_request {
	const char *url, *method;
	const char *type;	   // of the body; NULL: not said
	const char *authorization; // NULL: none
	const char *length;	   // of the body, as it was announced; NULL: not
	const char *body;
	size_t size;
	bool too_large; // the body had more than EST_BODY_MAX bytes and is not here
	struct endpoint peer;
	const struct verdict *verdict; // of the certificate that was shown; NULL: none was
	bool admitted;		       // the identity of `verdict` is still welcome
};

struct est_answer {
	enum est_status status;
	const char *type;  // NULL: no body
	char *body;	   // new, to be freed by whoever sends it; NULL: none
	const char *allow; // the method that would have been right, or NULL
	unsigned retry_after_s;
	bool authenticate; // say how
	bool close;	   // the connection: who tries tokens pays with a handshake each time
};

// For the CA in `directory` (as `mutun ca init` makes it; copied), which is opened anew whenever it has changed: one that is rotated,
// locked or away for a while needs no restart. The passphrase (copied) as for ca_unlock(). A CA that cannot be opened now is told
// now. Returns a new service.
int est_service_new(const char *directory, const char *passphrase_path, struct est_service **ret,
		    struct error *error);
struct est_service *est_service_free(struct est_service *service); // takes NULL, returns NULL
DEFINE_CLEANUP(struct est_service *, est_service_free);

// Whether the head of a request (all but the body) is enough to refuse it.
bool est_service_refuses(const struct est_request *request, struct est_answer *ret);
// One thread at a time.
void est_service_answer(struct est_service *service, const struct est_request *request,
			struct est_answer *ret);
