// SPDX-License-Identifier: Apache-2.0

#include "platform/platform.h"

#include <stdio.h>
#include <stdlib.h>
#include <openssl/err.h>

void platform_expect(int good, const char *file, int line, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s:%d: no longer so with %s: %s\n", file, line,
		OpenSSL_version(OPENSSL_VERSION), what);
	exit(1);
}

static void add(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	static CONF *configuration; // some kinds are not parsed without one, even an empty one
	X509V3_CTX context;

	if (!value)
		return;
	if (!configuration)
		configuration = NCONF_new(NULL);
	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	X509V3_set_nconf(&context, configuration);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	expect(extension && X509_add_ext(certificate, extension, -1));
	X509_EXTENSION_free(extension);
}

struct identity platform_issue(const struct identity *issuer, const char *name,
			       const struct extensions *extensions, long lifetime_s)
{
	struct identity self = {X509_new(), EVP_EC_gen("P-256")};
	X509 *certificate = self.certificate, *above = issuer ? issuer->certificate : certificate;
	static long serial;

	expect(certificate && self.key);
	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
	X509_gmtime_adj(X509_getm_notAfter(certificate), lifetime_s - 60);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(certificate, X509_get_subject_name(above));
	X509_set_pubkey(certificate, self.key);
	add(certificate, above, NID_basic_constraints, extensions->basic_constraints);
	add(certificate, above, NID_key_usage, extensions->key_usage);
	add(certificate, above, NID_ext_key_usage, extensions->extended_key_usage);
	add(certificate, above, NID_subject_alt_name, extensions->san);
	add(certificate, above, NID_name_constraints, extensions->name_constraints);
	add(certificate, above, NID_certificate_policies, extensions->policies);
	add(certificate, above, NID_policy_constraints, extensions->policy_constraints);
	expect(X509_sign(certificate, issuer ? issuer->key : self.key, EVP_sha256()) > 0);
	// As one that came from outside.
	self.certificate = X509_dup(certificate);
	X509_free(certificate);
	return self;
}

struct identity platform_ca(const char *name, const char *name_constraints)
{
	struct extensions extensions = {.basic_constraints = "critical,CA:TRUE",
					.key_usage = "critical,keyCertSign,cRLSign",
					.name_constraints = name_constraints};

	return platform_issue(NULL, name, &extensions, 86400);
}

SSL_CTX *platform_context(const struct identity *own)
{
	SSL_CTX *context = SSL_CTX_new(TLS_method());

	expect(context);
	SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
	if (own) {
		expect(SSL_CTX_use_certificate(context, own->certificate) == 1);
		expect(SSL_CTX_use_PrivateKey(context, own->key) == 1);
	}
	return context;
}

void platform_pair(SSL_CTX *client_context, SSL_CTX *server_context, SSL **client, SSL **server)
{
	BIO *up = NULL, *down = NULL;

	*client = SSL_new(client_context);
	*server = SSL_new(server_context);
	expect(*client && *server && BIO_new_bio_pair(&up, 1 << 17, &down, 1 << 17));
	SSL_set_bio(*client, up, up);
	SSL_set_bio(*server, down, down);
	SSL_set_connect_state(*client);
	SSL_set_accept_state(*server);
}

int platform_join(SSL *client, SSL *server)
{
	char byte;

	for (int i = 0; i < 8; i++) {
		ERR_clear_error();
		SSL_is_init_finished(client) ? SSL_read(client, &byte, 1)
					     : SSL_do_handshake(client);
		ERR_clear_error();
		SSL_is_init_finished(server) ? SSL_read(server, &byte, 1)
					     : SSL_do_handshake(server);
	}
	return SSL_is_init_finished(client) && SSL_is_init_finished(server);
}

int platform_verify(const struct identity *ca, X509 *leaf, X509_CRL *crl, unsigned long flags,
		    int purpose)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *context = X509_STORE_CTX_new();

	expect(store && context && X509_STORE_add_cert(store, ca->certificate));
	if (crl)
		expect(X509_STORE_add_crl(store, crl));
	X509_STORE_set_flags(store, flags);
	expect(X509_STORE_CTX_init(context, store, leaf, NULL));
	if (purpose)
		X509_STORE_CTX_set_purpose(context, purpose);
	int good = X509_verify_cert(context), code = X509_STORE_CTX_get_error(context);
	X509_STORE_CTX_free(context);
	X509_STORE_free(store);
	ERR_clear_error();
	return good == 1 ? X509_V_OK : code;
}
