// SPDX-License-Identifier: Apache-2.0
// Revocation lists for tests, made on the fly as certificates are (pki_fixture.h).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fixture;

#define CRL_FIXTURE_NO_REASON 0xff
#define CRL_FIXTURE_EXTRAS    4

struct crl_fixture_entry {
	const uint8_t *serial;
	size_t size;
	bool negative;
	int64_t at_s; // from now; 0: a minute ago
	unsigned reason;
	const char *extension; // "NAME=VALUE" in the form of x509v3_config(5), or NULL
};

// Zero is a good, empty list of now until tomorrow with the number 1.
struct crl_fixture_options {
	int64_t this_s, next_s; // from now; both zero: -60 and 86400
	long number;		// 0: 1, negative: none
	bool no_next;
	const char *digest;			// "SHA256"
	const char *extras[CRL_FIXTURE_EXTRAS]; // more extensions, as above
	const struct crl_fixture_entry *entries;
	size_t count;
	const struct fixture *name; // whose subject it bears, if not the signer's
};

// DER, new.
uint8_t *crl_fixture(const struct fixture *signer, const struct crl_fixture_options *options,
		     size_t *ret_size);
// The same as PEM, NUL-terminated.
char *crl_fixture_pem(const uint8_t *der, size_t size);
// Entries of random serial numbers, of `size` bytes each, in one block; new.
struct crl_fixture_entry *crl_fixture_random(size_t count, size_t size);
