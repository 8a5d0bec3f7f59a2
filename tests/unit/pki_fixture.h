// SPDX-License-Identifier: Apache-2.0
// Certificates for tests, made on the fly. Every function ends the process with a message when it fails: a test that
// cannot make its certificates has nothing to say.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <openssl/x509.h>

#include "base/cleanup.h"

struct credential;
struct trust;

// A certificate with its key. The issuer is borrowed: free it last.
struct fixture {
	X509 *certificate;
	EVP_PKEY *key;
	const struct fixture *issuer; // NULL: signed by itself
};

#define FIXTURE_URIS_MAX  4
#define FIXTURE_UNITS_MAX 4

// Zero is a good leaf by the profile, without a name. Strings are in the form of OpenSSL's x509v3_config(5); an empty
// string leaves the extension out.
struct fixture_options {
	const char *uris[FIXTURE_URIS_MAX]; // URI SANs
	const char *dns;		    // a DNS SAN
	unsigned dns_count;		    // as many more DNS SANs, numbered
	const char *email;		    // an e-mail SAN
	const void *san;		    // DER of a whole SAN extension, instead
	size_t san_size;
	const char *subject; // common name; "test"
	const char *
		key; // "P-256" (default), "P-384", "P-521", "secp256k1", "explicit", "Ed25519", "Ed448", "RSA-<bits>"
	const char *digest;		      // "SHA256"
	const char *basic_constraints;	      // "critical,CA:FALSE"
	const char *key_usage;		      // "critical,digitalSignature"
	const char *extended_key_usage;	      // "serverAuth,clientAuth"
	const char *name_constraints;	      // none
	const char *policy_constraints;	      // none
	bool any_policy;		      // the certificate policy anyPolicy
	const char *policies;		      // certificate policies: "1.2.3,1.2.4"; none
	const char *units[FIXTURE_UNITS_MAX]; // organizational units of the subject
	int64_t not_before_s;		      // from now; both zero: -300 and 86400
	int64_t not_after_s;
	const uint8_t *serial; // 20 random bytes
	size_t serial_size;
	bool version_1;
	bool twice;			// a second extendedKeyUsage extension
	bool no_key_identifiers;	// neither subject nor authority key identifier
	bool unknown_critical;		// a critical extension that nobody knows
	bool altered;			// one bit of the signature
	const struct fixture *same_key; // has the key of this one
};

struct fixture *fixture_issue(const struct fixture *issuer, const struct fixture_options *options);
struct fixture *fixture_free(struct fixture *fixture); // takes NULL, returns NULL
DEFINE_CLEANUP(struct fixture *, fixture_free);

// The usual ones. `constraint` is a trust domain for nameConstraints permitted;URI, or NULL; pathlen < 0: no limit.
struct fixture *fixture_root(const char *name);
struct fixture *fixture_intermediate(const struct fixture *issuer, const char *name,
				     const char *constraint, int pathlen);
struct fixture *fixture_leaf(const struct fixture *issuer, const char *identity);

// The certificates between this one and the root, which is left out: what a peer sends beside its leaf. A new stack that
// borrows.
STACK_OF(X509) * fixture_chain(const struct fixture *fixture);

// A new directory below /tmp, removed with its files by fixture_directory_free().
char *fixture_directory(void);
char *fixture_directory_free(char *directory);
DEFINE_CLEANUP(char *, fixture_directory_free);
// "DIRECTORY/NAME", new.
char *fixture_path(const char *directory, const char *name);

// PEM files: the certificate, with `chain` also those of fixture_chain(); the key as PKCS#8.
void fixture_write_certificate(const struct fixture *fixture, bool chain, const char *path);
void fixture_write_key(const struct fixture *fixture, const char *path);
void fixture_write_text(const char *path, const char *text);

// Through the real loaders, at the wall clock of base/clock.h.
struct credential *fixture_credential(const struct fixture *leaf);
struct trust *fixture_trust(const char *domain, const struct fixture *ca);
