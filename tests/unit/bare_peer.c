// SPDX-License-Identifier: Apache-2.0

#include "unit/bare_peer.h"

#include <stdlib.h>
#include <string.h>
#include <openssl/err.h>

#include "pki/tls.h"
#include "unit/must.h"

DEFINE_CLEANUP(STACK_OF(X509) *, sk_X509_free);

// What a bare end makes of its queue.
static int received_alert(void)
{
	unsigned long entry;
	int alert = -1;

	while ((entry = ERR_get_error()) != 0)
		if (ERR_GET_REASON(entry) >= SSL_AD_REASON_OFFSET)
			alert = ERR_GET_REASON(entry) - SSL_AD_REASON_OFFSET;
	return alert;
}

static bool is_bare(const SSL *ssl)
{
	return SSL_get_security_level(ssl) == 0;
}

// A client that has finished learns of the server's refusal with its first read.
static void step(struct end *end)
{
	char byte;

	if (end->result < 0)
		return;
	ERR_clear_error();
	int r = end->result == 0 ? SSL_do_handshake(end->ssl) : SSL_read(end->ssl, &byte, 1);
	int why = SSL_get_error(end->ssl, r);
	if (end->result == 0 && r == 1) {
		end->result = 1;
		return;
	}
	if (why == SSL_ERROR_WANT_READ)
		return;
	end->result = -1;
	if (is_bare(end->ssl))
		end->alert = received_alert();
	else
		end->failure = tls_failure(end->ssl, &end->error);
}

static void move(SSL *from, SSL *to)
{
	char bytes[4096];
	int size;

	while ((size = BIO_read(SSL_get_wbio(from), bytes, sizeof(bytes))) > 0)
		must(BIO_write(SSL_get_rbio(to), bytes, size) == size);
}

void end_join(struct end *a, struct end *b)
{
	for (int i = 0; i < 8; i++) {
		step(a);
		move(a->ssl, b->ssl);
		step(b);
		move(b->ssl, a->ssl);
	}
}

void end_part(struct end *a, struct end *b)
{
	SSL_free(a->ssl);
	SSL_free(b->ssl);
}

static int select_first(SSL *ssl, const unsigned char **ret, unsigned char *ret_size,
			const unsigned char *offered, unsigned size, void *data)
{
	(void)ssl;
	(void)size;
	(void)data;
	*ret = offered + 1;
	*ret_size = offered[0];
	return SSL_TLSEXT_ERR_OK;
}

static int accept_all(X509_STORE_CTX *store, void *data)
{
	(void)store;
	(void)data;
	return 1;
}

static void present(SSL_CTX *context, const struct bare *bare)
{
	_cleanup_(sk_X509_freep) STACK_OF(X509) *chain = fixture_chain(bare->leaf);

	must(SSL_CTX_use_certificate(context, bare->leaf->certificate) == 1);
	must(SSL_CTX_use_PrivateKey(context, bare->leaf->key) == 1);
	must(SSL_CTX_set1_chain(context, bare->above ? bare->above : chain) == 1);
}

SSL_CTX *bare_context(const struct bare *bare)
{
	SSL_CTX *context = SSL_CTX_new_ex(tls_library(), NULL, TLS_method());

	must(context);
	SSL_CTX_set_security_level(context, 0);
	SSL_CTX_set_max_proto_version(context, bare->version ? bare->version : TLS1_3_VERSION);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(context, accept_all, NULL);
	SSL_CTX_set1_groups_list(context, "X25519:P-256:secp256k1");
	SSL_CTX_set_mode(context, SSL_MODE_NO_AUTO_CHAIN);
	if (bare->server)
		SSL_CTX_set_alpn_select_cb(context, select_first, NULL);
	if (bare->server && bare->alpn)
		SSL_CTX_set_alpn_select_cb(context, NULL, NULL);
	if (bare->leaf)
		present(context, bare);
	return context;
}

SSL *bare_ssl(SSL_CTX *context, const struct bare *bare)
{
	static const unsigned char ours[] = "\x07" TLS_ALPN;
	const char *alpn = bare->alpn ? bare->alpn : (const char *)ours;
	SSL *ssl = SSL_new(context);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

	must(ssl);
	BIO_set_mem_eof_return(in, -1);
	BIO_set_mem_eof_return(out, -1);
	SSL_set_bio(ssl, in, out);
	if (bare->server) {
		SSL_set_accept_state(ssl);
		return ssl;
	}
	if (*alpn)
		must(SSL_set_alpn_protos(ssl, (const unsigned char *)alpn,
					 (unsigned)strlen(alpn)) == 0);
	SSL_set_connect_state(ssl);
	return ssl;
}
