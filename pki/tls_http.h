// SPDX-License-Identifier: Apache-2.0
// TLS for HTTP that a library speaks for us (EST, revocation lists): the same settings, certificate and judgement as for
// channels.
#pragma once

#include <stdbool.h>
#include <openssl/ssl.h>

#include "base/error.h"

struct credential;
struct trust;

// One client connection, whose SSL_CTX the library makes. Borrowed until the connection is over.
struct tls_http {
	const char *
		identity; // pattern that the server must match, judged against `trust`; NULL: the library judges
	struct trust *trust;
	struct credential *credential; // to show; NULL: none
	bool refused;		       // the server, and why
	struct error error;
};

// Sets protocol (TLS 1.3 for a server with an identity, 1.2 and up for others), algorithms, certificate and verification. 0 or
// -EINVAL.
int tls_http_prepare(SSL_CTX *ssl, struct tls_http *http);
