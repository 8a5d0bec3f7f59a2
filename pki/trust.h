// SPDX-License-Identifier: Apache-2.0
// Whom this node believes: per trust domain the CA certificates it accepts. One immutable, counted object, safe to share
// between threads. Each trust domain has a store of its own, so that the CA of one can never vouch for names of another.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <openssl/x509_vfy.h>

#include "base/cleanup.h"

struct error;
struct mapping;
struct mapping_rule;
struct pin;
struct pins;
struct revocation;
struct trust;

#define TRUST_FILE_MAX	  (4u << 20)
#define TRUST_ANCHOR_SIZE 32

struct trust_source {
	const char *domain; // trust domain
	const char *path;   // PEM bundle
	// Identities in this domain for certificates without a URI name.
	const struct mapping_rule *rules;
	size_t rule_count;
	// Of identities in this domain (those of others are checked with theirs).
	const struct pin *pins;
	size_t pin_count;
	// Who is of this domain must bring a good OCSP answer about its certificate along (pki/staple.h).
	bool require_staple;
};

// Reads every bundle. A bundle must hold at least one certificate, all of them CA certificates (basicConstraints
// CA:TRUE, keyCertSign) that are not all expired at `now`. Several sources of one domain add up. Borrows `sources` for
// the call. Errors name the file. Returns a new reference. -errno of reading, or -EINVAL.
int trust_load(OSSL_LIB_CTX *library, const struct trust_source *sources, size_t count, time_t now,
	       struct trust **ret, struct error *error);
// The CA certificates in one file, for the trust domain of `identity`. As trust_load().
int trust_load_file(OSSL_LIB_CTX *library, const char *identity, const char *path, time_t now,
		    struct trust **ret, struct error *error);
// The same CA certificates with another revocation state (a reference is taken; NULL: nothing is revoked). Returns a new
// reference. -ENOMEM.
int trust_revise(struct trust *trust, struct revocation *revocation, struct trust **ret);
struct revocation *trust_revocation(const struct trust *trust); // borrowed; may be NULL
struct trust *trust_get(struct trust *trust);
struct trust *trust_put(struct trust *trust); // takes NULL, returns NULL
DEFINE_CLEANUP(struct trust *, trust_put);

// The store of a trust domain (`length` bytes of `domain`), borrowed; NULL when this node does not trust that domain.
X509_STORE *trust_store(const struct trust *trust, const char *domain, size_t length);
// How many CA certificates that domain has; 0 as above.
size_t trust_domain_count(const struct trust *trust, const char *domain, size_t length);
// SHA-256 of the DER of each, in ascending order, at most `max` of them. Returns the number.
size_t trust_anchors(const struct trust *trust, const char *domain, size_t length,
		     uint8_t (*ret)[TRUST_ANCHOR_SIZE], size_t max);
bool trust_has_anchor(const struct trust *trust, const char *domain, size_t length,
		      const uint8_t hash[TRUST_ANCHOR_SIZE]);
// All trust domains, "corp.example, partner.example", cut to fit. Returns `text`.
const char *trust_domains(const struct trust *trust, char *text, size_t size);
OSSL_LIB_CTX *trust_library(const struct trust *trust);		// the one it was loaded with
const struct mapping *trust_mapping(const struct trust *trust); // borrowed; NULL: nothing is mapped
bool trust_requires_staple(const struct trust *trust, const char *domain, size_t length);
const struct pins *trust_pins(const struct trust *trust); // borrowed; NULL: nothing is pinned
// SHA-256 over all domains, certificates, rules, pins and requirements, independent of the order of certificates in the files and of revocation.
const uint8_t *trust_fingerprint(const struct trust *trust);
size_t trust_count(const struct trust *trust); // CA certificates in all domains
