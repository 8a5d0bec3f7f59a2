// SPDX-License-Identifier: Apache-2.0

#include "pki/tls.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/provider.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/credential.h"
#include "pki/reason.h"
#include "pki/tls_peer.h"
#include "pki/tls_settings.h"
#include "pki/trust.h"
#include "pki/verify.h"

#define GROUP_MLKEM768 0x11ec // X25519MLKEM768 in the IANA registry of TLS groups

static pthread_once_t once = PTHREAD_ONCE_INIT;
static OSSL_LIB_CTX *library;

static void library_init(void)
{
	// Before anything else can make OpenSSL read its configuration file, which may name foreign providers and weaker
	// defaults.
	if (!OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL))
		return;
	OSSL_LIB_CTX *built = OSSL_LIB_CTX_new();
	if (!built || !tls_peer_init() || !OSSL_PROVIDER_load(built, "default")) {
		OSSL_LIB_CTX_free(built);
		return;
	}
	library = built;
}

OSSL_LIB_CTX *tls_library(void)
{
	pthread_once(&once, library_init);
	return library;
}

static int no_context(struct error *error, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	error_set(error, EINVAL, "%s: %s", what, reason ? reason : "out of memory");
	ERR_clear_error();
	return -EINVAL;
}

int tls_context_new(enum tls_role role, struct credential *credential, struct trust *trust,
		    struct tls_context **ret, struct error *error)
{
	if (!tls_library())
		return error_set(error, ENOMEM, "OpenSSL's default provider cannot be loaded");

	_cleanup_(tls_context_putp) struct tls_context *context = calloc(1, sizeof(*context));
	if (!context)
		return error_set(error, ENOMEM, "out of memory");
	atomic_init(&context->references, 1);
	context->role = role;
	context->credential = credential_get(credential);
	context->trust = trust_get(trust);
	ERR_clear_error();
	context->ssl = SSL_CTX_new_ex(
		library, NULL, role == TLS_CLIENT ? TLS_client_method() : TLS_server_method());
	if (!context->ssl || !tls_settings_protocol(context->ssl, TLS1_3_VERSION) ||
	    !tls_peer_expect(context->ssl, role))
		return no_context(error, "OpenSSL refused the TLS settings");
	if (!tls_settings_credential(context->ssl, credential))
		return no_context(error, "OpenSSL refused our certificate");
	ERR_clear_error();
	*ret = take(context);
	return 0;
}

struct tls_context *tls_context_get(struct tls_context *context)
{
	atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
	return context;
}

struct tls_context *tls_context_put(struct tls_context *context)
{
	if (!context ||
	    atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel) != 1)
		return NULL;
	SSL_CTX_free(context->ssl);
	credential_put(context->credential);
	trust_put(context->trust);
	free(context->staple);
	free(context);
	return NULL;
}

void tls_context_allow_http(struct tls_context *context)
{
	context->http = true;
	tls_peer_allow_http(context->ssl);
}

static int show_staple(SSL *ssl, void *data)
{
	const struct tls_context *context = tls_peer_of(ssl)->context;
	unsigned char *copy = OPENSSL_memdup(context->staple, context->staple_size);

	(void)data;
	if (!copy || !SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)context->staple_size)) {
		OPENSSL_free(copy);
		return SSL_TLSEXT_ERR_NOACK;
	}
	return SSL_TLSEXT_ERR_OK;
}

int tls_context_set_staple(struct tls_context *context, const uint8_t *der, size_t size)
{
	context->staple = malloc(size);
	if (!context->staple)
		return -ENOMEM;
	memcpy(context->staple, der, size);
	context->staple_size = size;
	if (context->role == TLS_SERVER)
		SSL_CTX_set_tlsext_status_cb(context->ssl, show_staple);
	return 0;
}

const uint8_t *tls_context_staple(const struct tls_context *context, size_t *ret_size)
{
	*ret_size = context->staple_size;
	return context->staple;
}

struct credential *tls_context_credential(const struct tls_context *context)
{
	return context->credential;
}

struct trust *tls_context_trust(const struct tls_context *context)
{
	return context->trust;
}

static bool set_memory(SSL *ssl)
{
	BIO *in = BIO_new(BIO_s_mem());
	BIO *out = BIO_new(BIO_s_mem());

	if (!in || !out) {
		BIO_free(in);
		BIO_free(out);
		return false;
	}
	// An empty BIO means "later", not the end.
	BIO_set_mem_eof_return(in, -1);
	BIO_set_mem_eof_return(out, -1);
	SSL_set_bio(ssl, in, out);
	return true;
}

SSL *tls_new(struct tls_context *context, const char *expected)
{
	SSL *ssl = SSL_new(context->ssl);

	if (!ssl || !tls_peer_set(ssl, context, expected) || !set_memory(ssl)) {
		SSL_free(ssl);
		ERR_clear_error();
		return NULL;
	}
	if (context->role == TLS_CLIENT) {
		SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp);
		SSL_set_connect_state(ssl);
	} else {
		SSL_set_accept_state(ssl);
	}
	return ssl;
}

struct verdict *tls_verdict(const SSL *ssl)
{
	return tls_peer_of(ssl)->verdict;
}

const uint8_t *tls_shown_staple(const SSL *ssl, size_t *ret_size)
{
	unsigned char *der = NULL;
	long size = SSL_get_tlsext_status_ocsp_resp((SSL *)ssl, &der);

	*ret_size = der && size > 0 ? (size_t)size : 0;
	return *ret_size ? der : NULL;
}

int tls_take_staple(const SSL *ssl, const uint8_t *der, size_t size, struct error *error)
{
	struct tls_peer *peer = tls_peer_of(ssl);
	struct verdict *verdict;
	int r = verify_staple(peer->context->trust, peer->verdict, der, size, clock_wall(),
			      &verdict, error);

	if (r < 0)
		return r;
	verdict_put(peer->verdict);
	peer->verdict = verdict;
	return 0;
}

bool tls_is_http(const SSL *ssl)
{
	return tls_peer_of(ssl)->http;
}

int tls_check(const SSL *ssl, struct error *error)
{
	int r = tls_peer_check_protocol(ssl, error);

	if (r < 0)
		return r;
	if (!SSL_is_init_finished(ssl) || SSL_version(ssl) != TLS1_3_VERSION)
		return error_set(error, EPROTO, "the handshake is not one of TLS 1.3");
	if (SSL_session_reused(ssl))
		return error_set(error, EPROTO, "the peer resumed an old TLS session");
	if (tls_is_http(ssl) && !SSL_get0_peer_certificate(ssl))
		return 0; // has yet to prove itself, or only asks what everybody may know
	if (!tls_verdict(ssl) || SSL_get_verify_result(ssl) != X509_V_OK)
		return error_set(error, EACCES, "the peer's certificate was not judged");
	return 0;
}

int tls_failure(SSL *ssl, struct error *error)
{
	const struct tls_peer *peer = tls_peer_of(ssl);
	unsigned long entry, first = 0;
	int r = 0;

	if (peer->refused) {
		if (error)
			*error = peer->error;
		ERR_clear_error();
		return peer->error.code == EPROTO ? -EPROTO : -EACCES;
	}
	while (r == 0 && (entry = ERR_get_error()) != 0) {
		first = first ? first : entry;
		r = reason_handshake(entry, error);
	}
	ERR_clear_error();
	// Who has shown no certificate yet cannot have judged ours: anybody on the way may say so.
	if (r == -EKEYREJECTED && peer->context->role == TLS_CLIENT && !peer->verdict)
		return error_set(error, EPROTO,
				 "the connection was refused before the peer had proved itself");
	if (r < 0)
		return r;
	if (first) {
		const char *reason = ERR_reason_error_string(first);
		return error_set(error, EPROTO, "TLS failed: %s (code %lx)",
				 reason ? reason : "unknown", first);
	}
	return error_set(error, EPROTO,
			 SSL_is_init_finished(ssl)
				 ? "the peer closed the connection"
				 : "the connection ended during the TLS handshake");
}

int tls_export(SSL *ssl, const char *label, const void *context, size_t context_size, void *ret,
	       size_t size)
{
	int r = SSL_export_keying_material(ssl, ret, size, label, strlen(label), context,
					   context_size, 1);

	ERR_clear_error();
	return r == 1 ? 0 : -EPROTO;
}

const char *tls_group(const SSL *ssl)
{
	// A NID where OpenSSL has one, else the number on the wire.
	long group = SSL_ctrl((SSL *)ssl, SSL_CTRL_GET_NEGOTIATED_GROUP, 0, NULL);

	if (group == NID_X25519)
		return "X25519";
	if (group == NID_X9_62_prime256v1)
		return "P-256";
	if (group == (TLSEXT_nid_unknown | GROUP_MLKEM768))
		return "X25519MLKEM768";
	return "?";
}
