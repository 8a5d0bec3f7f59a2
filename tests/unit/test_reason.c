// SPDX-License-Identifier: Apache-2.0
// Failures as a person reads them. The reasons of path validation are walked by test_verify.c.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>
#include <openssl/err.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/credential.h"
#include "pki/reason.h"
#include "pki/tls.h"
#include "unit/bare_peer.h"
#include "unit/refusal.h"

#define GATEWAY "spiffe://corp.example/gateway/one"

DEFINE_CLEANUP(SSL *, SSL_free);

static struct world *world;
static struct fixture *gateway_leaf, *alice_leaf;
static struct tls_context *gateway, *alice;

static struct tls_context *new_context(enum tls_role role, const struct fixture *leaf)
{
	_cleanup_(credential_putp) struct credential *credential = fixture_credential(leaf);
	struct tls_context *context = NULL;

	assert_int_equal(tls_context_new(role, credential, world->trust, &context, NULL), 0);
	return context;
}

static int set_up(void **state)
{
	(void)state;
	world = world_new();
	gateway_leaf = fixture_leaf(world->issuing, GATEWAY);
	alice_leaf = fixture_leaf(world->issuing, REFUSAL_ALICE);
	gateway = new_context(TLS_SERVER, gateway_leaf);
	alice = new_context(TLS_CLIENT, alice_leaf);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tls_context_put(gateway);
	tls_context_put(alice);
	fixture_free(gateway_leaf);
	fixture_free(alice_leaf);
	world = world_free(world);
	return 0;
}

// The client has finished when the server says no.
static void tells_the_client_why_it_was_refused(void **state)
{
	static const struct {
		int64_t not_before_s, not_after_s;
		const char *what;
	} cases[] = {
		{-7200, -3600, "the peer refused our certificate: it has expired"},
		{3600, 7200,
		 "the peer refused our certificate: it breaks a rule, or its name is not the "
		 "one expected"},
	};
	time_t now = clock_wall();

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct fixture_options options = {.uris = {REFUSAL_ALICE},
						  .not_before_s = cases[i].not_before_s,
						  .not_after_s = cases[i].not_after_s};
		_cleanup_(fixture_freep) struct fixture *leaf =
			fixture_issue(world->issuing, &options);
		// Loaded at a time when it was good.
		clock_set_wall(now + (cases[i].not_before_s + cases[i].not_after_s) / 2);
		_cleanup_(tls_context_putp) struct tls_context *context =
			new_context(TLS_CLIENT, leaf);
		clock_set_wall(0);
		struct end client = {.ssl = tls_new(context, NULL)};
		struct end server = {.ssl = tls_new(gateway, NULL)};
		end_join(&client, &server);
		assert_int_equal(client.failure, -EKEYREJECTED);
		assert_string_equal(client.error.what, cases[i].what);
		assert_int_equal(server.failure, -EACCES);
		end_part(&client, &server);
	}
}

static void tells_that_a_ca_is_unknown(void **state)
{
	_cleanup_(fixture_freep) struct fixture *leaf =
		fixture_leaf(world->stranger, REFUSAL_ALICE);
	_cleanup_(tls_context_putp) struct tls_context *context = new_context(TLS_CLIENT, leaf);
	struct end client = {.ssl = tls_new(context, NULL)};
	struct end server = {.ssl = tls_new(gateway, NULL)};

	(void)state;
	end_join(&client, &server);
	assert_int_equal(client.failure, -EKEYREJECTED);
	assert_string_equal(client.error.what,
			    "the peer refused our certificate: it does not know the CA");
	end_part(&client, &server);
}

static void tells_what_is_not_tls(void **state)
{
	static const struct {
		const char *bytes, *what;
		bool client;
	} cases[] = {
		{"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		 "the connection does not speak TLS: it is plain HTTP", false},
		{"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
		 "the connection does not speak TLS: it is a proxy request", false},
		{"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "the connection does not speak TLS", false},
		{"HTTP/1.1 400 Bad Request\r\n\r\n", "the connection does not speak TLS", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_(SSL_freep) SSL *ssl = tls_new(cases[i].client ? alice : gateway, NULL);
		struct error error = {0};
		ERR_clear_error();
		if (cases[i].client)
			SSL_do_handshake(ssl);
		BIO_write(SSL_get_rbio(ssl), cases[i].bytes, (int)strlen(cases[i].bytes));
		assert_int_equal(SSL_do_handshake(ssl), -1);
		assert_int_equal(tls_failure(ssl, &error), -EPROTO);
		assert_string_equal(error.what, cases[i].what);
	}
}

static void tells_that_the_connection_ended(void **state)
{
	_cleanup_(SSL_freep) SSL *ssl = tls_new(alice, NULL);
	struct error error = {0};

	(void)state;
	assert_int_equal(SSL_do_handshake(ssl), -1);
	assert_int_equal(tls_failure(ssl, &error), -EPROTO);
	assert_string_equal(error.what, "the connection ended during the TLS handshake");
}

static void tells_every_alert(void **state)
{
	(void)state;
	for (int alert = 0; alert < 256; alert++) {
		unsigned long entry = ERR_PACK(ERR_LIB_SSL, 0, SSL_AD_REASON_OFFSET + alert);
		struct error error = {0};
		int r = reason_handshake(entry, &error);
		bool ours = strstr(error.what, "refused our certificate");
		assert_true(ours ? r == -EKEYREJECTED : r == -EACCES || r == -EPROTO);
		assert_int_equal(error.code, -r);
		assert_true(error.what[0] != '\0');
		assert_int_equal(reason_handshake(entry, NULL), r);
	}
	struct error error = {0};
	assert_int_equal(reason_handshake(ERR_PACK(ERR_LIB_EVP, 0, 1), &error), 0);
	assert_string_equal(error.what, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_the_client_why_it_was_refused),
		cmocka_unit_test(tells_that_a_ca_is_unknown),
		cmocka_unit_test(tells_what_is_not_tls),
		cmocka_unit_test(tells_that_the_connection_ended),
		cmocka_unit_test(tells_every_alert),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
