// SPDX-License-Identifier: Apache-2.0
// What a CA has withdrawn (pki/ca_revoke.h), asked before it signs, and shown.
#pragma once

#include <stdint.h>
#include <openssl/x509.h>

#include "pki/denial.h"

struct ca;
struct denials;
struct error;
struct record;

// Whether what is to be signed is denied. -EPERM with a sentence.
int ca_denied_identity(struct ca *ca, const char *identity, struct error *error);
int ca_denied_key(struct ca *ca, EVP_PKEY *key, struct error *error);
int ca_denied_hash(struct ca *ca, const uint8_t key[SPKI_HASH_SIZE], struct error *error);
int ca_denied_certificate(struct ca *ca, const X509 *certificate, struct error *error);
// All of them, new; NULL: none.
int ca_denials(struct ca *ca, struct denials **ret, struct error *error);
// Which of them denies a certificate of the journal, borrowed from `denials` (may be NULL); NULL: none.
const struct denial *ca_denial_of(const struct denials *denials, const struct record *record);
// The SHA-256 of the issuing key.
int ca_issuer_key(const struct ca *ca, uint8_t ret[SPKI_HASH_SIZE]);
