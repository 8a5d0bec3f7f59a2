// SPDX-License-Identifier: Apache-2.0
// The one place that builds an SSL_CTX, and where OpenSSL's errors become sentences. TLS 1.3 only, both certificates
// always, no tickets, no early data, no compression, ALPN "mutun/1" or nothing. Only where enrolment is served, HTTP is spoken
// on the same port, and a client without a certificate yet may ask for one.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <openssl/ssl.h>

#include "base/cleanup.h"

struct credential;
struct error;
struct trust;
struct verdict;

#define TLS_ALPN "mutun/1"

enum tls_role { TLS_CLIENT, TLS_SERVER };

// An immutable, counted object: one credential and one trust for one role. Old SSL objects keep what they were made from.
struct tls_context;

// The library context of all of mutun: built once, with a configuration of its own (not /etc/ssl/openssl.cnf). Its first
// call comes before any other use of OpenSSL in the process. NULL when the default provider cannot be loaded.
OSSL_LIB_CTX *tls_library(void);

// Takes references of credential and trust. Returns a new context.
int tls_context_new(enum tls_role role, struct credential *credential, struct trust *trust,
		    struct tls_context **ret, struct error *error);
struct tls_context *tls_context_get(struct tls_context *context);
struct tls_context *tls_context_put(struct tls_context *context); // takes NULL, returns NULL
DEFINE_CLEANUP(struct tls_context *, tls_context_put);
// The OCSP answer about the credential's leaf, which this context, which nobody shares yet, has to show: to TLS clients that ask for
// it (RFC 6066, 8), and to peers by what speaks over the connection. Copies. -ENOMEM.
int tls_context_set_staple(struct tls_context *context, const uint8_t *der, size_t size);
const uint8_t *tls_context_staple(const struct tls_context *context,
				  size_t *ret_size); // borrowed; NULL: none

struct credential *tls_context_credential(const struct tls_context *context); // borrowed
struct trust *tls_context_trust(const struct tls_context *context);	      // borrowed

// From now on this context of a server, which nobody shares yet, also takes clients that offer the ALPN "http/1.1" or none at
// all; those may come without a certificate. One that they show is judged as any other.
void tls_context_allow_http(struct tls_context *context);

// A new connection with memory BIOs on both sides, in its role's state. `expected` (may be NULL) is a pattern that the
// peer's identity must match, copied. NULL: out of memory.
SSL *tls_new(struct tls_context *context, const char *expected);

// After SSL_do_handshake() returned 1, before anything is read or written: ALPN was agreed, TLS 1.3, no old session resumed,
// peer judged. 0, -EPROTO or -EACCES. (A client is then still not admitted: the server judges later.)
int tls_check(const SSL *ssl, struct error *error);
// After the handshake: the judgement over the peer, borrowed from `ssl`; NULL before, and of a client that speaks HTTP and
// showed no certificate.
struct verdict *tls_verdict(const SSL *ssl);
// What a server showed of its certificate's status in the handshake, borrowed from `ssl`; NULL: nothing.
const uint8_t *tls_shown_staple(const SSL *ssl, size_t *ret_size);
// What the peer brought along about its certificate (verify_staple()) becomes part of that judgement. As verify_staple().
int tls_take_staple(const SSL *ssl, const uint8_t *der, size_t size, struct error *error);
bool tls_is_http(const SSL *ssl); // HTTP is spoken on it, not our own protocol
// Why the handshake failed, as a sentence: our own refusal of the peer's certificate, the peer's alert in words
// ("the peer refused our certificate: expired"), a protocol fault. Clears OpenSSL's error queue. Returns -EACCES (we
// refused the peer's certificate), -EKEYREJECTED (the peer refused ours) or -EPROTO.
int tls_failure(SSL *ssl, struct error *error);

// RFC 8446, 7.5. 0 or -EPROTO.
int tls_export(SSL *ssl, const char *label, const void *context, size_t context_size, void *ret,
	       size_t size);
// "X25519", "X25519MLKEM768" ...: the key exchange group that was negotiated; "?" where OpenSSL cannot say.
const char *tls_group(const SSL *ssl);
