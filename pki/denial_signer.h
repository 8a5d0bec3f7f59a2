// SPDX-License-Identifier: Apache-2.0
// Who signs a list of denials: a CA certificate of the trust domain that may sign revocation lists, with those above it that a
// node may lack. As text: each in DER as base64, with a space between, its own first.
#pragma once

#include <stdint.h>
#include <time.h>
#include <openssl/x509.h>

#include "base/cleanup.h"
#include "pki/revocation.h"

struct denial_signer;
struct error;
struct trust;

#define DENIAL_SIGNER_CHAIN_MAX 3
#define DENIAL_SIGNER_TEXT_MAX	12288u

// Copies the text, which is not looked into yet. Returns a new, counted object. NULL: out of memory.
struct denial_signer *denial_signer_new(const char *text, size_t size);
// The same of certificates, at most DENIAL_SIGNER_CHAIN_MAX.
struct denial_signer *denial_signer_of(STACK_OF(X509) * certificates);
struct denial_signer *denial_signer_get(struct denial_signer *signer);
struct denial_signer *denial_signer_put(struct denial_signer *signer); // takes NULL, returns NULL
DEFINE_CLEANUP(struct denial_signer *, denial_signer_put);
const char *denial_signer_text(const struct denial_signer *signer); // borrowed

// When its own certificate ends; 0 where that cannot be read.
time_t denial_signer_end(const struct denial_signer *signer);
// Whether it may sign for `domain`: a path to the CA certificates of that domain at `time`, or when its own certificates began if that
// was later (a CA signs its last entry anew after it got another certificate), cRLSign, and name constraints that permit the domain. On success its chain, for the question whether it was itself withdrawn. -EACCES with the reason.
int denial_signer_check(const struct denial_signer *signer, const char *domain,
			const struct trust *trust, time_t time, struct revocation_chain *ret,
			struct error *error);
// Whether `signature` (base64) is its own over the list of `domain` up to entry `number`, whose hash is `hash`. -EKEYREJECTED.
int denial_signer_verify(const struct denial_signer *signer, const char *domain, uint64_t number,
			 const uint8_t *hash, const char *signature, struct error *error);
// Such a signature, new. -EIO.
int denial_sign(EVP_PKEY *key, const char *domain, uint64_t number, const uint8_t *hash, char **ret,
		struct error *error);
