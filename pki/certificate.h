// SPDX-License-Identifier: Apache-2.0
// One certificate, judged strictly by itself: what X509_verify_cert() lets pass and a SPIFFE verifier must not
// (X509-SVID.md 4, 5). The profile is in README.md, "Certificates".
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <openssl/x509.h>

struct error;
struct mapping;

#define SPKI_HASH_SIZE	 32
#define SERIAL_MAX	 20    // bytes (RFC 5280, 4.1.2.2)
#define SERIAL_TEXT_MAX	 44    // 20 bytes as hexadecimal digits, and a NUL
#define CERTIFICATE_MAX	 16384 // bytes of DER of one certificate from a peer
#define CHAIN_LENGTH_MAX 4     // certificates that a peer may send

// The identity from the one URI SAN. -EINVAL: no SAN, no URI, several URIs, embedded NUL, not IA5, not a SPIFFE ID.
// Returns a new string.
int certificate_identity(const X509 *certificate, char **ret, struct error *error);

// The leaf rules: version 3, no duplicate extensions, CA:FALSE, key usage present, critical, with digitalSignature and
// without keyCertSign or cRLSign; extended key usage with both serverAuth and clientAuth; a key of a named curve P-256,
// P-384 or P-521, Ed25519, or RSA of 2048 to 4096 bits; a signature with SHA-2 or Ed25519; SAN as above or, where it has no URI and
// `mapping` is not NULL, with the one name that becomes an identity by it (returned, new).
int certificate_check_leaf(const X509 *certificate, const struct mapping *mapping,
			   char **ret_identity, struct error *error);

// A certificate that may sign others: basicConstraints CA:TRUE, key usage with keyCertSign (or none at all, which RFC 5280
// reads as any), a key as above. An intermediate that a peer sent must also be signed as above. -EINVAL.
int certificate_check_ca(const X509 *certificate, struct error *error);
int certificate_check_intermediate(const X509 *certificate, struct error *error);

// Seconds since 1970. -EINVAL when a time cannot be read.
int certificate_lifetime(const X509 *certificate, time_t *ret_not_before, time_t *ret_not_after);

// SHA-256 of the DER SubjectPublicKeyInfo (RFC 7469, 2.4).
int certificate_spki_hash(const X509 *certificate, uint8_t hash[SPKI_HASH_SIZE]);
int certificate_key_hash(const EVP_PKEY *key, uint8_t hash[SPKI_HASH_SIZE]);
// Serial number as lower-case hexadecimal digits. Returns `text`.
const char *certificate_serial(const X509 *certificate, char text[SERIAL_TEXT_MAX]);

// A distinguished name as RFC 2253 writes it, cut to fit. Returns `text`.
const char *certificate_name(const X509_NAME *name, char *text, size_t size);

static inline void certificates_freep(STACK_OF(X509) * *certificates)
{
	sk_X509_pop_free(*certificates, X509_free);
}
// All of `more` (NULL: none) at the end of `certificates`, with references of their own. -ENOMEM: not all of them.
int certificates_push(STACK_OF(X509) * certificates, STACK_OF(X509) * more);

// All certificates of a PEM text, in order; other PEM blocks are skipped, garbage between blocks too. -EINVAL when there
// is none or one cannot be read. Returns a new stack.
int certificate_read_pem(OSSL_LIB_CTX *library, const char *text, size_t size,
			 STACK_OF(X509) * *ret, struct error *error);
