// SPDX-License-Identifier: Apache-2.0
// What the programs of this folder share. Each of them states one fact about OpenSSL that mutun leans on, and fails where it is
// no longer so: then the place that it names must be thought over, whichever way the fact has changed.
#pragma once

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define expect(condition) platform_expect((condition) ? 1 : 0, __FILE__, __LINE__, #condition)
void platform_expect(int good, const char *file, int line, const char *what);

struct identity {
	X509 *certificate;
	EVP_PKEY *key;
};

// A certificate on a P-256 key, valid for the `lifetime_s` seconds from a minute ago, signed by `issuer` or, with NULL, by itself.
// `san` and the others are in the form of x509v3_config(5); NULL leaves the extension out. Lives until the program ends.
struct extensions {
	const char *san, *basic_constraints, *key_usage, *extended_key_usage, *name_constraints;
	const char *policies, *policy_constraints;
};
struct identity platform_issue(const struct identity *issuer, const char *name,
			       const struct extensions *extensions, long lifetime_s);
struct identity platform_ca(const char *name, const char *name_constraints);

// A context for TLS 1.3, and a pair of ends joined by memory. The client's name for the server is not checked.
SSL_CTX *platform_context(const struct identity *own);
void platform_pair(SSL_CTX *client_context, SSL_CTX *server_context, SSL **client, SSL **server);
// Carries bytes until neither has more to say. Whether both have finished the handshake.
int platform_join(SSL *client, SSL *server);
// What X509_verify_cert() says: X509_V_OK or the code. `crl` may be NULL.
int platform_verify(const struct identity *ca, X509 *leaf, X509_CRL *crl, unsigned long flags,
		    int purpose);
