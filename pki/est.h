// SPDX-License-Identifier: Apache-2.0
// The bodies of EST (RFC 7030, 8951): base64 of PKCS#10 requests one way, base64 of PKCS#7 "certs-only" the other. Tolerant in
// what is taken (any line length, white space, no newline at the end). What is made follows those who take less: requests have 64
// characters to a line (libest, issues 100 and Azure/iot-identity-service 323), answers are one line (strongSwan 5.9; RFC 4648,
// 3.1, as RFC 8951 asks).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <openssl/x509.h>

struct error;

#define EST_BODY_MAX   65536u // bytes of a body
#define EST_CERTS_MAX  16     // certificates in an answer
#define EST_PATH       "/.well-known/est"
#define EST_TYPE_P10   "application/pkcs10"
#define EST_TYPE_CERTS "application/pkcs7-mime; smime-type=certs-only"

// Base64, with a newline after each 64 characters and at the end where `lines`. Returns a new string; NULL: out of memory.
char *est_encode(const uint8_t *data, size_t size, bool lines);
// Returns new bytes. -EINVAL: not base64. -EFBIG: more than EST_BODY_MAX. -ENOMEM.
int est_decode(const char *text, size_t size, uint8_t **ret, size_t *ret_size);

// The certificates as a degenerate SignedData (RFC 5272, 4.1), in base64. Returns a new string. -ENOMEM.
int est_write_certs(STACK_OF(X509) * certificates, char **ret);
// The certificates in such a body, at least one. Returns a new stack. -EINVAL with the reason.
int est_read_certs(const char *text, size_t size, STACK_OF(X509) * *ret, struct error *error);
