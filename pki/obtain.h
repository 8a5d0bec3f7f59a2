// SPDX-License-Identifier: Apache-2.0
// Gets a certificate from an EST service, with a new key of our own, and believes nothing of it unchecked. Waits for the network:
// run it on a thread of its own.
#pragma once

#include <time.h>
#include <openssl/x509.h>

struct error;
struct est_client;
struct trust;

struct obtained {
	EVP_PKEY *key;
	X509 *leaf;
	STACK_OF(X509) * above; // from the issuer up, without roots
};

// Asks for `identity` (NULL: what the CA gives). `client->credential` set: renewal. The certificate that comes must be for our
// key and, where `identity` is said, for it; good for a client and a server by `trust` at `now`. Errors as est_enroll(), and:
//   -EBADMSG  the certificate is not what was asked for      -EKEYEXPIRED  it is not valid yet, or not any more, by our clock
int obtain(const struct est_client *client, const char *identity, struct trust *trust, time_t now,
	   struct obtained *ret, unsigned *ret_retry_after_s, struct error *error);
void obtained_done(struct obtained *obtained);
// Chain and key into one PEM file, mode 0600, atomically.
int obtained_write(const struct obtained *obtained, const char *path, struct error *error);
