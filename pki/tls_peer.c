// SPDX-License-Identifier: Apache-2.0
// OpenSSL's own verification is replaced as a whole by verify_chain(), because the store
// must be picked by the leaf's trust domain before a path is sought; X509_verify_cert() with one common store would let
// the CA of one domain vouch for names of another.

#include "pki/tls_peer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "pki/identity.h"
#include "pki/verify.h"

static const unsigned char alpn[] = "\x07" TLS_ALPN;
static_assert(sizeof(alpn) - 2 == 7, "the first byte is the length of the name");
static const unsigned char alpn_http[] = "\x08http/1.1";

static int peer_index = -1;

static void peer_free(void *parent, void *data, CRYPTO_EX_DATA *all, int index, long argl,
		      void *argp)
{
	struct tls_peer *peer = data;

	(void)parent;
	(void)all;
	(void)index;
	(void)argl;
	(void)argp;
	if (!peer)
		return;
	tls_context_put(peer->context);
	verdict_put(peer->verdict);
	free(peer->expected);
	free(peer);
}

bool tls_peer_init(void)
{
	peer_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, peer_free);
	return peer_index >= 0;
}

struct tls_peer *tls_peer_of(const SSL *ssl)
{
	return SSL_get_ex_data(ssl, peer_index);
}

bool tls_peer_set(SSL *ssl, struct tls_context *context, const char *expected)
{
	struct tls_peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return false;
	peer->expected = expected ? strdup(expected) : NULL;
	if ((expected && !peer->expected) || !SSL_set_ex_data(ssl, peer_index, peer)) {
		free(peer->expected);
		free(peer);
		return false;
	}
	peer->context = tls_context_get(context);
	return true;
}

static bool alpn_is_ours(const SSL *ssl)
{
	const unsigned char *name;
	unsigned size;

	SSL_get0_alpn_selected(ssl, &name, &size);
	return size == sizeof(alpn) - 2 && memcmp(name, alpn + 1, size) == 0;
}

// The certificate is asked for after this, and may be missing.
static void speak_http(SSL *ssl)
{
	tls_peer_of(ssl)->http = true;
	SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
}

// Old clients of EST offer no protocol at all; alpn_select() is not called for them.
static int on_client_hello(SSL *ssl, int *alert, void *data)
{
	const unsigned char *extension;
	size_t size;

	(void)alert;
	(void)data;
	if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation,
				       &extension, &size))
		speak_http(ssl);
	return SSL_CLIENT_HELLO_SUCCESS;
}

static int alpn_select(SSL *ssl, const unsigned char **ret, unsigned char *ret_size,
		       const unsigned char *offered, unsigned size, void *data)
{
	(void)data;
	if (SSL_select_next_proto((unsigned char **)ret, ret_size, alpn, sizeof(alpn) - 1, offered,
				  size) == OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_OK;
	if (tls_peer_of(ssl)->context->http &&
	    SSL_select_next_proto((unsigned char **)ret, ret_size, alpn_http, sizeof(alpn_http) - 1,
				  offered, size) == OPENSSL_NPN_NEGOTIATED) {
		speak_http(ssl);
		return SSL_TLSEXT_ERR_OK;
	}
	// NOACK would go on without a protocol.
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

int tls_peer_check_protocol(const SSL *ssl, struct error *error)
{
	if (alpn_is_ours(ssl) || tls_peer_of(ssl)->http)
		return 0;
	error_set(error, EPROTO, "the peer agreed on no application protocol (ALPN)");
	error_expected(error, "%s", TLS_ALPN);
	return -EPROTO;
}

static int check_expected(const struct tls_peer *peer, const struct verdict *verdict,
			  struct error *error)
{
	const char *identity = verdict_identity(verdict);

	if (!peer->expected || identity_match(peer->expected, identity))
		return 0;
	error_set(error, EACCES,
		  peer->context->role == TLS_CLIENT
			  ? "gateway presented %.*s, the link expects %.*s"
			  : "client presented %.*s, where %.*s is expected",
		  IDENTITY_SHOWN_MAX, identity, IDENTITY_SHOWN_MAX, peer->expected);
	return -EACCES;
}

static int judge(SSL *ssl, struct tls_peer *peer, X509_STORE_CTX *store, int *code)
{
	struct verdict *verdict = NULL;
	enum verify_role role =
		peer->context->role == TLS_CLIENT ? VERIFY_PEER_IS_SERVER : VERIFY_PEER_IS_CLIENT;

	// In TLS 1.3 the protocol was agreed before any certificate comes.
	*code = X509_V_ERR_APPLICATION_VERIFICATION;
	int r = tls_peer_check_protocol(ssl, &peer->error);
	if (r < 0)
		return r;
	STACK_OF(X509) *untrusted = verify_above(store);
	*code = X509_V_ERR_OUT_OF_MEM;
	if (!untrusted)
		return error_set(&peer->error, ENOMEM, "out of memory");
	r = verify_chain(peer->context->trust, X509_STORE_CTX_get0_cert(store), untrusted, role,
			 clock_wall(), &verdict, code, &peer->error);
	sk_X509_free(untrusted);
	if (r < 0)
		return r;
	*code = X509_V_ERR_HOSTNAME_MISMATCH;
	r = check_expected(peer, verdict, &peer->error);
	if (r < 0) {
		verdict_put(verdict);
		return r;
	}
	*code = X509_V_OK;
	verdict_put(peer->verdict);
	peer->verdict = verdict;
	return 0;
}

static int verify_peer(X509_STORE_CTX *store, void *data)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_peer *peer = tls_peer_of(ssl);
	int code;

	(void)data;
	// A second certificate on one connection is none of ours.
	if (!peer || peer->verdict || peer->refused) {
		X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
		return 0;
	}
	peer->refused = judge(ssl, peer, store, &code) < 0;
	X509_STORE_CTX_set_error(store, code);
	return !peer->refused;
}

bool tls_peer_expect(SSL_CTX *ssl, enum tls_role role)
{
	SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ssl, verify_peer, NULL);
	if (role == TLS_SERVER) {
		SSL_CTX_set_alpn_select_cb(ssl, alpn_select, NULL);
		return true;
	}
	return SSL_CTX_set_alpn_protos(ssl, alpn, sizeof(alpn) - 1) == 0; // zero is success here
}

void tls_peer_allow_http(SSL_CTX *ssl)
{
	SSL_CTX_set_client_hello_cb(ssl, on_client_hello, NULL);
}
