// SPDX-License-Identifier: Apache-2.0
// The trust file of this node, kept as the CA wants it: replaced only by what a server sent that proved itself against the
// present one, and only when it is of use.
#pragma once

#include <stdbool.h>
#include <time.h>
#include <openssl/x509.h>

struct credential;
struct error;

// The root certificates among what a CA sent (RFC 7030, 4.1.3). Returns a new stack of one at least. -EBADMSG.
int bundle_roots(STACK_OF(X509) * offered, STACK_OF(X509) * *ret, struct error *error);

// Where the roots in the file `path` are others than those `offered`, writes the latter, atomically; revocation lists in the file
// stay. `ret_changed` tells. A root that is new to the file must be signed by one of those in it, as a certificate among `offered`
// shows; the new set must be one that nodes accept, and must verify our own `credential` at `now`: else -EBADMSG, and the file
// stays. -errno of reading and writing.
int bundle_update(const char *path, STACK_OF(X509) * offered, const struct credential *credential,
		  time_t now, bool *ret_changed, struct error *error);

// Writes these certificates, atomically, in place of those that are in the file; revocation lists in it stay. -errno.
int bundle_write(const char *path, STACK_OF(X509) * certificates, struct error *error);
