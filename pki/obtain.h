// SPDX-License-Identifier: Apache-2.0
// Gets a certificate from an EST service or from a CA of this machine, with a new key of our own, and believes nothing of it
// unchecked. Waits for the network and the disk: run it on a thread of its own.
#pragma once

#include <time.h>
#include <openssl/x509.h>

struct error;
struct est_client;
struct est_meta;
struct pending;
struct trust;

struct obtained {
	EVP_PKEY *key;
	X509 *leaf;
	STACK_OF(X509) * above; // from the issuer up, without roots
	time_t not_before;	// may be to come
	time_t not_after;
};

// Asks for `identity` (NULL: what the CA gives). `client->credential` set: renewal. The certificate that comes must be for our
// key and, where `identity` is said, for it; good for a client and a server by `trust` at `now`, or from its beginning on. Errors
// as est_enroll(), and:
//   -EBADMSG  the certificate is not what was asked for      -EKEYEXPIRED  it is not valid any more by our clock
// `ret_meta` is set on failure, too.
int obtain(const struct est_client *client, const char *identity, struct trust *trust, time_t now,
	   struct obtained *ret, struct est_meta *ret_meta, struct error *error);
// The same for a key and a request that were made before (borrowed).
int obtain_pending(const struct est_client *client, const struct pending *pending,
		   const char *identity, struct trust *trust, time_t now, struct obtained *ret,
		   struct est_meta *ret_meta, struct error *error);
// The same from the CA in `directory`, for who holds `old`. The passphrase as for ca_unlock(). Errors as that, ca_open(), ca_renew(),
// and as above.
int obtain_here(const char *directory, const char *passphrase_path, X509 *old, struct trust *trust,
		time_t now, struct obtained *ret, struct error *error);
// -EAGAIN and how much this clock is behind when the certificate is not valid yet.
int obtained_check_begun(const struct obtained *obtained, time_t now, struct error *error);
void obtained_done(struct obtained *obtained);
// Chain and key into one PEM file, mode 0600, atomically.
int obtained_write(const struct obtained *obtained, const char *path, struct error *error);
