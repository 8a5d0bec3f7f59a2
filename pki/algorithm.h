// SPDX-License-Identifier: Apache-2.0
// Which keys and signatures a certificate may have. OpenSSL's security level judges strength alone; it knows nothing of
// kinds of keys, and reads explicit curve parameters as if they were the named curve.
#pragma once

#include <openssl/x509.h>

// For X509_VERIFY_PARAM_set_auth_level(), wherever a chain is judged: 112 bits; RSA 2048 passes, SHA-1 does not
// (SSL_CTX_set_security_level(3)).
#define ALGORITHM_AUTH_LEVEL 2

struct error;

// A key on the named curve P-256, P-384 or P-521, Ed25519, or RSA of 2048 to 4096 bits. -EINVAL with a sentence that has
// no subject yet ("has an RSA key of 1024 bits").
int algorithm_check_key(const X509 *certificate, struct error *error);
int algorithm_check_public(const X509_PUBKEY *public, struct error *error);
// A signature with SHA-256, SHA-384 or SHA-512, or Ed25519. -EINVAL as above ("is signed with RSA-SHA1").
int algorithm_check_signature(const X509 *certificate, struct error *error);
