// SPDX-License-Identifier: Apache-2.0
// The client of EST (RFC 7030, 8951). Every call waits for its answer: run it on a thread of its own.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <openssl/x509.h>

struct credential;
struct error;
struct trust;

// All borrowed for the call.
struct est_client {
	const char *
		url; // "https://host[:port]", or with the path of the service ("https://host/.well-known/est/label")
	// How the server proves itself: `identity` (a pattern) against `trust`; or as a web server by its name, with the CA
	// certificates in the file `ca` (NULL: those of the system); or by no means: only to read what is checked otherwise.
	const char *identity;
	struct trust *trust;
	const char *ca;
	bool unverified;
	// How we do: by this certificate, or by token, or not at all.
	struct credential *credential;
	const char *password;
	uint32_t mark; // of the socket (SO_MARK), 0: none
	// Asked about once a second; the call ends soon after it has become true. May be NULL.
	bool (*cancelled)(const void *data);
	const void *data;
};

// What came along with an answer, whatever it was. Zero is nothing.
struct est_meta {
	unsigned retry_after_s; // what the server said (RFC 9110, 10.2.3), 0: nothing
	bool dated;
	int64_t skew_s; // where dated: how much the server's clock (RFC 9110, 6.6.1) is ahead of this one
};

// GET cacerts. Returns a new stack of one certificate at least. Errors as below.
int est_cacerts(const struct est_client *client, STACK_OF(X509) * *ret, struct error *error);
// POST simpleenroll, or simplereenroll where `again`, of a request in DER. Returns a new stack: the certificate and, if the
// server sent them, those above it. `ret_meta` is set on failure, too.
//   -EAGAIN  later (202, 429, 503)      -EACCES, -EPERM, -EINVAL  refused (401, 403, another 4xx), with the server's sentence
//   -ECANCELED       -EKEYREJECTED  the server did not prove itself       others: it could not be reached, or talks nonsense
int est_enroll(const struct est_client *client, bool again, const uint8_t *der, size_t size,
	       STACK_OF(X509) * *ret, struct est_meta *ret_meta, struct error *error);
