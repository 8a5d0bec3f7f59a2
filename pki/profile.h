// SPDX-License-Identifier: Apache-2.0
// The certificates that our CA makes, by the profile of README.md, "Certificates" (RFC 5280, 4.2; X509-SVID.md 3 and 4).
// Builds and signs; knows nothing of files.
#pragma once

#include <time.h>
#include <openssl/x509.h>

struct error;

enum profile_kind {
	PROFILE_ROOT,	      // signs itself
	PROFILE_INTERMEDIATE, // signs leaves with names of its trust domain alone
	PROFILE_LEAF
};

// All borrowed.
struct profile_subject {
	const char *domain;   // trust domain, checked
	const char *identity; // SPIFFE ID, checked; of a leaf only
	const char *dns;      // host name, checked, or NULL; of a leaf only
	EVP_PKEY *key;
	time_t not_before;
	time_t not_after;
};

// A new key on the curve P-256.
int profile_key(EVP_PKEY **ret, struct error *error);

// Whether `name` may stand in a DNS SAN: a host name of RFC 1123, 2.1, in lower case, without wildcards. -EINVAL.
int profile_dns_check(const char *name, struct error *error);

// Makes a certificate and signs it with SHA-256. A root is signed with its own key: `issuer` and `issuer_key` are NULL.
// Returns a new certificate. -EIO when OpenSSL fails.
int profile_sign(enum profile_kind kind, const struct profile_subject *subject, X509 *issuer,
		 EVP_PKEY *issuer_key, X509 **ret, struct error *error);
