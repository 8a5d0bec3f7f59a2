// SPDX-License-Identifier: Apache-2.0
// Ends that speak TLS well and mean ill: a stolen certificate, a secret instead of a certificate, data before the handshake,
// tickets that were not asked for.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include "base/error.h"
#include "pki/credential.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "pki/verify.h"
#include "unit/bare_peer.h"
#include "unit/pki_fixture.h"

#define GATEWAY "spiffe://corp.example/gateway/one"
#define ALICE	"spiffe://corp.example/laptop/alice"

DEFINE_CLEANUP(SSL_CTX *, SSL_CTX_free);

static struct fixture *root, *gateway_leaf, *alice_leaf;
static struct tls_context *gateway, *alice;

static struct tls_context *new_context(enum tls_role role, const struct fixture *leaf)
{
	_cleanup_(trust_putp) struct trust *trust = fixture_trust("corp.example", root);
	_cleanup_(credential_putp) struct credential *credential = fixture_credential(leaf);
	struct tls_context *context = NULL;

	assert_int_equal(tls_context_new(role, credential, trust, &context, NULL), 0);
	return context;
}

static int set_up(void **state)
{
	(void)state;
	root = fixture_root("corp root");
	gateway_leaf = fixture_leaf(root, GATEWAY);
	alice_leaf = fixture_leaf(root, ALICE);
	gateway = new_context(TLS_SERVER, gateway_leaf);
	alice = new_context(TLS_CLIENT, alice_leaf);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	gateway = tls_context_put(gateway);
	alice = tls_context_put(alice);
	gateway_leaf = fixture_free(gateway_leaf);
	alice_leaf = fixture_free(alice_leaf);
	root = fixture_free(root);
	return 0;
}

static void meet(SSL_CTX *context, const struct bare *bare, struct end *ours, struct end *theirs)
{
	*ours = (struct end){.ssl = tls_new(bare->server ? alice : gateway, NULL), .alert = -1};
	*theirs = (struct end){.ssl = bare_ssl(context, bare), .alert = -1};
	end_join(bare->server ? ours : theirs, bare->server ? theirs : ours);
}

// The public half of one key with the private half of another: what a thief has who copied a certificate.
static EVP_PKEY *forge_key(EVP_PKEY *victim)
{
	EVP_PKEY *own = EVP_PKEY_Q_keygen(tls_library(), NULL, "EC", "P-256"), *forged = NULL;
	EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_from_name(tls_library(), "EC", NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	BIGNUM *secret = NULL;
	uint8_t public[65];
	size_t size;

	assert_int_equal(EVP_PKEY_get_octet_string_param(victim, OSSL_PKEY_PARAM_PUB_KEY, public,
							 sizeof(public), &size),
			 1);
	assert_int_equal(EVP_PKEY_get_bn_param(own, OSSL_PKEY_PARAM_PRIV_KEY, &secret), 1);
	OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
	OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, public, size);
	OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, secret);
	OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(build);
	assert_int_equal(EVP_PKEY_fromdata_init(maker), 1);
	assert_int_equal(EVP_PKEY_fromdata(maker, &forged, EVP_PKEY_KEYPAIR, parameters), 1);
	OSSL_PARAM_free(parameters);
	OSSL_PARAM_BLD_free(build);
	BN_free(secret);
	EVP_PKEY_CTX_free(maker);
	EVP_PKEY_free(own);
	return forged;
}

static void demands_the_key_of_the_certificate(void **state)
{
	(void)state;
	for (int server = 0; server <= 1; server++) {
		struct fixture stolen = server ? *gateway_leaf : *alice_leaf;
		struct bare bare = {.server = server, .leaf = &stolen};
		struct end ours, theirs;

		stolen.key = forge_key(stolen.key);
		_cleanup_(SSL_CTX_freep) SSL_CTX *context = bare_context(&bare);
		meet(context, &bare, &ours, &theirs);
		assert_int_equal(ours.result, -1);
		assert_int_equal(ours.failure, -EACCES);
		assert_string_equal(ours.error.what,
				    "the peer does not hold the key of its certificate");
		assert_int_equal(theirs.alert, SSL_AD_DECRYPT_ERROR);
		assert_int_not_equal(tls_check(ours.ssl, NULL), 0);
		end_part(&ours, &theirs);
		EVP_PKEY_free(stolen.key);
	}
}

// A secret that the client says both have (RFC 8446, 4.2.11), good for data before the handshake, too.
static int offer_secret(SSL *ssl, const EVP_MD *digest, const unsigned char **id, size_t *id_size,
			SSL_SESSION **ret)
{
	static const unsigned char secret[32] = {1}, name[] = "psk";
	static const unsigned char suite[] = {0x13, 0x01};
	SSL_SESSION *session = SSL_SESSION_new();

	(void)digest;
	SSL_SESSION_set1_master_key(session, secret, sizeof(secret));
	SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, suite));
	SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION);
	SSL_SESSION_set_max_early_data(session, 16384);
	SSL_SESSION_set1_alpn_selected(session, (const unsigned char *)TLS_ALPN, strlen(TLS_ALPN));
	*id = name;
	*id_size = sizeof(name) - 1;
	*ret = session;
	return 1;
}

static void takes_no_secret_for_a_certificate(void **state)
{
	struct bare with = {.leaf = alice_leaf}, without = {.leaf = NULL};
	struct end ours, theirs;

	(void)state;
	_cleanup_(SSL_CTX_freep) SSL_CTX *context = bare_context(&with);
	SSL_CTX_set_psk_use_session_callback(context, offer_secret);
	meet(context, &with, &ours, &theirs);
	assert_int_equal(ours.result, 1);
	assert_false(SSL_session_reused(ours.ssl));
	assert_int_equal(tls_check(ours.ssl, NULL), 0);
	assert_string_equal(verdict_identity(tls_verdict(ours.ssl)), ALICE);
	end_part(&ours, &theirs);

	_cleanup_(SSL_CTX_freep) SSL_CTX *bare = bare_context(&without);
	SSL_CTX_set_psk_use_session_callback(bare, offer_secret);
	meet(bare, &without, &ours, &theirs);
	assert_string_equal(ours.error.what, "the peer sent no certificate");
	assert_int_equal(theirs.alert, TLS13_AD_CERTIFICATE_REQUIRED);
	end_part(&ours, &theirs);
}

static void takes_no_early_data(void **state)
{
	struct bare bare = {.leaf = alice_leaf};
	_cleanup_(SSL_CTX_freep) SSL_CTX *context = bare_context(&bare);
	struct end ours = {.ssl = tls_new(gateway, NULL), .alert = -1};
	struct end theirs = {.ssl = bare_ssl(context, &bare), .alert = -1};
	size_t written;

	(void)state;
	SSL_set_psk_use_session_callback(theirs.ssl, offer_secret);
	assert_int_equal(SSL_write_early_data(theirs.ssl, "early", 5, &written), 1);
	assert_int_equal(written, 5);
	end_join(&theirs, &ours);
	assert_int_equal(ours.failure, -EPROTO);
	assert_string_equal(ours.error.what, "the peer sent data before the handshake was done");
	assert_int_equal(SSL_get_early_data_status(theirs.ssl), SSL_EARLY_DATA_REJECTED);
	assert_int_not_equal(tls_check(ours.ssl, NULL), 0);
	end_part(&ours, &theirs);
}

static int see_secret(SSL *ssl, int *alert, void *data)
{
	const unsigned char *extension;
	size_t size;

	(void)alert;
	*(bool *)data |= SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_psk, &extension, &size) ||
			 SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_early_data, &extension, &size);
	return SSL_CLIENT_HELLO_SUCCESS;
}

// A gateway that hands out tickets finds that nobody ever comes back with one.
static void forgets_tickets(void **state)
{
	struct bare bare = {.server = true, .leaf = gateway_leaf};
	_cleanup_(SSL_CTX_freep) SSL_CTX *context = bare_context(&bare);
	bool offered = false;

	(void)state;
	SSL_CTX_set_num_tickets(context, 4);
	SSL_CTX_set_session_id_context(context, (const unsigned char *)"x", 1);
	SSL_CTX_set_client_hello_cb(context, see_secret, &offered);
	for (int i = 0; i < 3; i++) {
		struct end ours, theirs;
		meet(context, &bare, &ours, &theirs);
		assert_int_equal(ours.result, 1);
		assert_int_equal(tls_check(ours.ssl, NULL), 0);
		assert_false(SSL_session_reused(ours.ssl));
		end_part(&ours, &theirs);
	}
	assert_false(offered);
}

static void demands_a_group_in_common(void **state)
{
	(void)state;
	for (int server = 0; server <= 1; server++) {
		struct bare bare = {.server = server, .leaf = server ? gateway_leaf : alice_leaf};
		_cleanup_(SSL_CTX_freep) SSL_CTX *context = bare_context(&bare);
		struct end ours, theirs;
		SSL_CTX_set1_groups_list(context, "P-384");
		meet(context, &bare, &ours, &theirs);
		assert_int_equal(ours.failure, -EPROTO);
		assert_string_equal(ours.error.what,
				    server ? "the peer found no common TLS parameters or protocol"
					   : "no key exchange group in common");
		end_part(&ours, &theirs);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(demands_the_key_of_the_certificate),
		cmocka_unit_test(takes_no_secret_for_a_certificate),
		cmocka_unit_test(takes_no_early_data),
		cmocka_unit_test(forgets_tickets),
		cmocka_unit_test(demands_a_group_in_common),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
