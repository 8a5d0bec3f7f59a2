// SPDX-License-Identifier: Apache-2.0
// The other end of one TLS connection: what is expected of it, how it is judged in the handshake, what was found. The inside of
// pki/tls.h, for tls.c and tls_peer.c only.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <openssl/ssl.h>

#include "base/error.h"
#include "pki/tls.h"

struct credential;
struct trust;
struct verdict;

struct tls_context {
	atomic_uint references;
	enum tls_role role;
	struct credential *credential;
	struct trust *trust;
	SSL_CTX *ssl;
	uint8_t *staple; // NULL: none
	size_t staple_size;
	bool http; // is spoken, too
};

// What belongs to one SSL object, and goes with it.
struct tls_peer {
	struct tls_context *context;
	char *expected;
	struct verdict *verdict;
	bool http;
	bool refused;
	struct error error; // when refused
};

// Before everything else, once. False: out of memory.
bool tls_peer_init(void);

// Makes the handshakes of a context judge the peer. tls_peer_allow_http() as tls_context_allow_http(). False: OpenSSL refused.
bool tls_peer_expect(SSL_CTX *ssl, enum tls_role role);
void tls_peer_allow_http(SSL_CTX *ssl);

// Hands `ssl` its state. On failure nothing is kept.
bool tls_peer_set(SSL *ssl, struct tls_context *context, const char *expected);
struct tls_peer *tls_peer_of(const SSL *ssl);
// -EPROTO: no protocol of ours was agreed.
int tls_peer_check_protocol(const SSL *ssl, struct error *error);
