// SPDX-License-Identifier: Apache-2.0
// The certificates that our CA makes, by the profile of README.md, "Certificates" (RFC 5280, 4.2; X509-SVID.md 3 and 4).
// Builds and signs; knows nothing of files.
#pragma once

#include <time.h>
#include <openssl/x509.h>

struct error;

enum profile_kind {
	PROFILE_ROOT,	      // signs itself
	PROFILE_CROSS,	      // a root, signed by the one before it
	PROFILE_INTERMEDIATE, // signs leaves with names of its trust domain alone
	PROFILE_LEAF
};

// All borrowed.
struct profile_subject {
	const char *domain;   // trust domain, checked
	const char *identity; // SPIFFE ID, checked; of a leaf only
	const char *dns;      // host name, checked, or NULL; of a leaf only
	unsigned generation;  // from 1; of a CA only, whose name carries it from the second on
	EVP_PKEY *key;
	time_t not_before;
	time_t not_after;
};

enum profile_key { PROFILE_P256, PROFILE_P384, PROFILE_RSA3072, PROFILE_ED25519 };

// A new key on the curve P-256, or of that kind.
int profile_key(EVP_PKEY **ret, struct error *error);
int profile_key_of(enum profile_key kind, EVP_PKEY **ret, struct error *error);
// Of the kind of `key`; P-256 for one that is none of them.
enum profile_key profile_key_like(const EVP_PKEY *key);
// "p256", "p384", "rsa3072", "ed25519". -EINVAL.
int profile_key_parse(const char *name, enum profile_key *ret, struct error *error);

// Whether `name` may stand in a DNS SAN: a host name of RFC 1123, 2.1, in lower case, without wildcards. -EINVAL.
int profile_dns_check(const char *name, struct error *error);

// The generation of one of our own CA certificates, from its name; 1 where it says none.
unsigned profile_generation(const X509 *certificate);

// Makes a certificate and signs it with SHA-256, or what goes with the issuer's key. A root is signed with its own key: `issuer` and `issuer_key` are NULL.
// Returns a new certificate. -EIO when OpenSSL fails.
int profile_sign(enum profile_kind kind, const struct profile_subject *subject, X509 *issuer,
		 EVP_PKEY *issuer_key, X509 **ret, struct error *error);
