// SPDX-License-Identifier: Apache-2.0
// Looking things up in the journal of a CA: who got which certificate, when, and by what right.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <openssl/x509.h>

struct error;
struct journal;

struct record {
	const char *serial; // hexadecimal
	const char *identity;
	const char *dns; // or NULL
	time_t issued;
	time_t not_before;
	time_t not_after;
	const char *spki;      // SHA-256 of the key in hexadecimal digits
	const char *issued_by; // as in struct journal_record; NULL: before that was written down
	const uint8_t *der;    // the certificate; NULL: before it was kept
	size_t der_size;
};

// What is not said does not matter.
struct record_filter {
	const char *serial;
	const char *identity; // SPIFFE ID, or a pattern
	time_t ends_after;
	const char *issued_by; // begins with this: "operator", "token", "token 1f3a"
};

// The certificate itself, new; NULL: it was not kept, or cannot be read.
X509 *record_certificate(const struct record *record);

// Calls `each` for every certificate that passes, newest first, whatever the clock said; what it gets is borrowed for the call. A
// non-zero return stops the walk and is returned.
int record_walk(struct journal *journal, const struct record_filter *filter,
		int (*each)(const struct record *record, void *data), void *data,
		struct error *error);
