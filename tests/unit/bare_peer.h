// SPDX-License-Identifier: Apache-2.0
// Two ends of a TLS connection joined by their memory BIOs, of which one may be bare: an SSL object that checks nothing
// and presents what it is told to.
#pragma once

#include <stdbool.h>
#include <openssl/ssl.h>

#include "base/error.h"
#include "unit/pki_fixture.h"

struct end {
	SSL *ssl;
	int result;	    // 1 done, 0 going on, -1 failed
	struct error error; // of tls_failure(), for our own ends
	int failure;
	int alert; // that a bare end was told, or -1
};

// Carries bytes until neither end has more to say.
void end_join(struct end *a, struct end *b);
// Frees both SSL objects.
void end_part(struct end *a, struct end *b);

struct bare {
	bool server;
	const struct fixture *leaf; // NULL: none
	STACK_OF(X509) * above;	    // sent with it, borrowed; NULL: what belongs to it
	const char *alpn;	    // with its length byte; NULL: ours; "": none
	int version;		    // at most
};

// Both new. A context may make several connections.
SSL_CTX *bare_context(const struct bare *bare);
SSL *bare_ssl(SSL_CTX *context, const struct bare *bare);
