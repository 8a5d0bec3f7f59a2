// SPDX-License-Identifier: Apache-2.0
// What is known of certificates that were withdrawn: one immutable, counted object beside the CA certificates of a trust. It is
// asked after path validation, of whole chains, and never through OpenSSL's store: there a list is verified anew with each
// certificate, and one flag without the other checks nothing.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <openssl/x509.h>

#include "base/cleanup.h"
#include "pki/certificate.h"

struct crl_list;
struct denials;
struct error;
struct revocation;

// One certificate of a verified chain, as lists name it.
struct revocation_link {
	uint8_t key[SPKI_HASH_SIZE];
	uint8_t issuer_key[SPKI_HASH_SIZE]; // of the certificate above it; the anchor's own
	uint32_t issuer_name;		    // X509_NAME_hash_ex() of its issuer
	uint8_t serial[SERIAL_MAX];	    // without leading zeros
	uint8_t serial_size;
	bool negative; // the serial number, against the standard
};

struct revocation_chain {
	struct revocation_link links[CHAIN_LENGTH_MAX + 1]; // leaf first, anchor last
	unsigned count;
};

// Of one certificate, all but the issuer's key. -EINVAL as below.
int revocation_link(const X509 *certificate, struct revocation_link *ret);
// Of a chain that path validation built. -EINVAL: a key or serial number cannot be read, or it is too long.
int revocation_chain(STACK_OF(X509) * chain, struct revocation_chain *ret);

// Nothing is revoked. Returns a new reference; NULL: out of memory.
struct revocation *revocation_new(void);
// What the CA of a trust domain withdrew itself (a reference is taken), one list for each domain; before anybody shares `revocation`.
// -EEXIST: there is one of this domain. -ENOMEM.
int revocation_add_denials(struct revocation *revocation, struct denials *denials);
// One more list (a reference of its table or slot is taken, the rest copied), before anybody shares `revocation`. -ENOMEM.
int revocation_add_list(struct revocation *revocation, const struct crl_list *list);
struct revocation *revocation_get(struct revocation *revocation);
struct revocation *revocation_put(struct revocation *revocation); // takes NULL, returns NULL
DEFINE_CLEANUP(struct revocation *, revocation_put);

// Whether nobody withdrew `identity` or any certificate of its chain. Needs no signature check: a few look-ups. `revocation` may
// be NULL: nothing is. 0, or -EKEYREVOKED with a sentence that names who withdrew it, when, and why, or which list should tell and
// does not.
int revocation_check(const struct revocation *revocation, const char *identity,
		     const struct revocation_chain *chain, time_t now, struct error *error);
