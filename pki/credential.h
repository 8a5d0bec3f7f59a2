// SPDX-License-Identifier: Apache-2.0
// This node's certificate chain and private key: one immutable, counted object, read and checked as a whole.
#pragma once

#include <stdint.h>
#include <time.h>
#include <openssl/x509.h>

#include "base/cleanup.h"

struct credential;
struct error;
struct mapping;

// Reads chain (leaf first) and key from PEM files (they may be the same file) and checks the set: leaf rules, key fits,
// each certificate signed by the next, leaf valid now (`now`: wall clock). Errors name the file. Returns a new reference.
//   -ENOENT, -EACCES ... reading     -EINVAL  not readable as PEM, leaf rules, chain order
//   -EKEYREJECTED  key does not belong to the leaf   -EKEYEXPIRED  expired   -EAGAIN  not valid yet
int credential_load(OSSL_LIB_CTX *library, const char *certificate_path, const char *key_path,
		    time_t now, struct credential **ret, struct error *error);
// The same where a certificate without a URI name gets its identity by `mapping` (borrowed for the call, may be NULL).
int credential_load_mapped(OSSL_LIB_CTX *library, const struct mapping *mapping,
			   const char *certificate_path, const char *key_path, time_t now,
			   struct credential **ret, struct error *error);
struct credential *credential_get(struct credential *credential);
struct credential *credential_put(struct credential *credential); // takes NULL, returns NULL
DEFINE_CLEANUP(struct credential *, credential_put);

// All borrowed from the credential.
const char *credential_identity(const struct credential *credential);
X509 *credential_leaf(const struct credential *credential);
STACK_OF(X509) *
	credential_chain(const struct credential *credential); // the intermediates, may be empty
EVP_PKEY *credential_key(const struct credential *credential);
time_t credential_not_before(const struct credential *credential); // the leaf's
time_t credential_not_after(const struct credential *credential);  // the earliest in the chain
// SHA-256 over leaf, intermediates and public key: equal if and only if nothing changed.
const uint8_t *credential_fingerprint(const struct credential *credential);
