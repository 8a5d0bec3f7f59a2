// SPDX-License-Identifier: Apache-2.0
// Keys and certificates into PEM files, and keys out of them. Errors name the file.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <openssl/x509.h>

struct error;
struct passphrase;

// PKCS#8 without a passphrase, mode 0600, atomically.
int pem_write_key(const char *path, EVP_PKEY *key, struct error *error);
// The same, encrypted with AES-256 under what scrypt makes of the passphrase (RFC 7914, 7); NULL: not encrypted.
int pem_write_locked_key(const char *path, EVP_PKEY *key, const struct passphrase *passphrase,
			 struct error *error);
// Those `above` it (may be NULL) follow the certificate; mode 0644, atomically.
int pem_write_certificate(const char *path, X509 *certificate, STACK_OF(X509) * above,
			  struct error *error);
// All of them, as above.
int pem_write_certificates(const char *path, STACK_OF(X509) * certificates, struct error *error);
// Leaf, the certificates above it (may be NULL) and the key in one file, mode 0600, atomically: a pair that is never torn.
int pem_write_pair(const char *path, X509 *leaf, STACK_OF(X509) * above, EVP_PKEY *key,
		   struct error *error);
// Returns a new key. -errno of reading; -EINVAL; -ENOKEY: it is encrypted.
int pem_read_key(const char *path, EVP_PKEY **ret, struct error *error);
// The same of one that may be encrypted; `passphrase` NULL: there is none. -EKEYREJECTED: it is not the right one.
int pem_read_locked_key(const char *path, const struct passphrase *passphrase, EVP_PKEY **ret,
			struct error *error);
// A certificate request, PEM or DER. Returns new DER. As above.
int pem_read_request(const char *path, uint8_t **ret, size_t *ret_size, struct error *error);
// All certificates of a file, a new stack. As above.
int pem_read_certificates(const char *path, STACK_OF(X509) * *ret, struct error *error);
// The first certificate of a file. Returns a new one. As above.
int pem_read_certificate(const char *path, X509 **ret, struct error *error);
