// SPDX-License-Identifier: Apache-2.0
// Two ends joined by their memory BIOs. Ours is from tls_new(); a hostile one is a bare SSL object that checks nothing.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <pthread.h>
#include <unistd.h>
#include <cmocka.h>
#include <openssl/err.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/credential.h"
#include "pki/identity.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "pki/verify.h"
#include "unit/bare_peer.h"
#include "unit/refusal.h"

#define GATEWAY "spiffe://corp.example/gateway/one"

DEFINE_CLEANUP(SSL *, SSL_free);
DEFINE_CLEANUP(STACK_OF(X509) *, sk_X509_free);
DEFINE_CLEANUP(SSL_CTX *, SSL_CTX_free);

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

// One of ours against a bare peer; who dials follows from `bare`.
static void meet(const struct bare *bare, const char *expected, struct end *ours,
		 struct end *theirs)
{
	_cleanup_(SSL_CTX_freep) SSL_CTX *context = bare_context(bare);

	*ours = (struct end){.ssl = tls_new(bare->server ? alice : gateway, expected), .alert = -1};
	*theirs = (struct end){.ssl = bare_ssl(context, bare), .alert = -1};
	assert_non_null(ours->ssl);
	end_join(bare->server ? ours : theirs, bare->server ? theirs : ours);
}

static void connect_ours(struct end *client, struct end *server, const char *expected)
{
	*client = (struct end){.ssl = tls_new(alice, expected), .alert = -1};
	*server = (struct end){.ssl = tls_new(gateway, NULL), .alert = -1};
	end_join(client, server);
}

static void admits_good_peers(void **state)
{
	struct end client, server;
	struct error error = {0};

	(void)state;
	connect_ours(&client, &server, "spiffe://corp.example/gateway/*");
	assert_int_equal(client.result, 1);
	assert_int_equal(server.result, 1);
	assert_int_equal(tls_check(client.ssl, &error), 0);
	assert_int_equal(tls_check(server.ssl, &error), 0);
	assert_string_equal(verdict_identity(tls_verdict(client.ssl)), GATEWAY);
	assert_string_equal(verdict_identity(tls_verdict(server.ssl)), REFUSAL_ALICE);
	assert_string_equal(SSL_get_version(client.ssl), "TLSv1.3");
	assert_string_not_equal(tls_group(client.ssl), "?");
	assert_string_equal(tls_group(client.ssl), tls_group(server.ssl));
	if (OpenSSL_version_num() < 0x30500000ul)
		assert_string_equal(tls_group(client.ssl), "X25519");
	end_part(&client, &server);
}

static void has_no_verdict_before_the_handshake(void **state)
{
	_cleanup_(SSL_freep) SSL *ssl = tls_new(alice, NULL);
	struct error error = {0};

	(void)state;
	assert_null(tls_verdict(ssl));
	assert_int_equal(tls_check(ssl, &error), -EPROTO);
}

static void refuses_every_line_of_the_matrix(void **state)
{
	(void)state;
	for (size_t i = 0; i < refusal_count; i++) {
		const struct refusal *refusal = &refusals[i];
		if (refusal->no_handshake)
			continue;
		const char *what = refusal->tls_what ? refusal->tls_what : refusal->what;
		_cleanup_(fixture_freep) struct fixture *leaf = refusal_leaf(refusal, world);
		_cleanup_(sk_X509_freep) STACK_OF(X509) *sent = refusal_sent(refusal, world, leaf);
		for (int server = 0; server <= 1; server++) {
			struct bare bare = {.server = server, .leaf = leaf, .above = sent};
			struct end ours, theirs;
			meet(&bare, NULL, &ours, &theirs);
			if (ours.result >= 0 || strcmp(ours.error.what, what) != 0 ||
			    theirs.alert != refusal->alert)
				print_error("%s, as %s: \"%s\", alert %d\n", refusal->name,
					    server ? "server" : "client", ours.error.what,
					    theirs.alert);
			assert_int_equal(ours.result, -1);
			assert_int_equal(ours.failure, -EACCES);
			assert_string_equal(ours.error.what, what);
			assert_int_equal(theirs.alert, refusal->alert);
			assert_null(tls_verdict(ours.ssl));
			assert_int_not_equal(tls_check(ours.ssl, NULL), 0);
			assert_int_equal(ERR_peek_error(), 0);
			end_part(&ours, &theirs);
		}
	}
}

static void demands_a_client_certificate(void **state)
{
	struct bare bare = {.leaf = NULL};
	struct end ours, theirs;

	(void)state;
	meet(&bare, NULL, &ours, &theirs);
	assert_int_equal(ours.failure, -EACCES);
	assert_string_equal(ours.error.what, "the peer sent no certificate");
	assert_int_equal(theirs.alert, TLS13_AD_CERTIFICATE_REQUIRED);
	end_part(&ours, &theirs);
}

static void demands_tls_1_3(void **state)
{
	struct bare client = {.leaf = alice_leaf, .version = TLS1_2_VERSION};
	struct bare server = {.server = true, .leaf = gateway_leaf, .version = TLS1_2_VERSION};
	struct end ours, theirs;

	(void)state;
	meet(&client, NULL, &ours, &theirs);
	assert_int_equal(ours.failure, -EPROTO);
	assert_string_equal(ours.error.what, "no TLS version in common: the peer has no TLS 1.3");
	assert_int_equal(theirs.alert, SSL_AD_PROTOCOL_VERSION);
	end_part(&ours, &theirs);
	meet(&server, NULL, &ours, &theirs);
	assert_int_equal(ours.failure, -EPROTO);
	assert_string_equal(ours.error.what, "no TLS version in common: the peer has no TLS 1.3");
	end_part(&ours, &theirs);
}

static void demands_our_protocol_of_clients(void **state)
{
	struct bare wrong = {.leaf = alice_leaf, .alpn = "\x02h2\x08http/1.1"};
	struct bare none = {.leaf = alice_leaf, .alpn = ""};
	struct end ours, theirs;

	(void)state;
	meet(&wrong, NULL, &ours, &theirs);
	assert_int_equal(ours.failure, -EPROTO);
	assert_string_equal(ours.error.what, "the peer does not speak our protocol (ALPN mutun/1)");
	assert_int_equal(theirs.alert, SSL_AD_NO_APPLICATION_PROTOCOL);
	end_part(&ours, &theirs);
	meet(&none, NULL, &ours, &theirs);
	assert_int_equal(ours.failure, -EPROTO);
	assert_string_equal(ours.error.what, "the peer agreed on no application protocol (ALPN)");
	assert_string_equal(ours.error.expected, "mutun/1");
	assert_int_equal(theirs.alert, SSL_AD_HANDSHAKE_FAILURE);
	assert_null(tls_verdict(ours.ssl));
	end_part(&ours, &theirs);
}

static void demands_our_protocol_of_servers(void **state)
{
	struct bare none = {.server = true, .leaf = gateway_leaf, .alpn = ""};
	struct end ours, theirs;

	(void)state;
	meet(&none, NULL, &ours, &theirs);
	assert_int_equal(ours.failure, -EPROTO);
	assert_string_equal(ours.error.what, "the peer agreed on no application protocol (ALPN)");
	assert_null(tls_verdict(ours.ssl));
	end_part(&ours, &theirs);
}

static void demands_the_expected_identity(void **state)
{
	struct end client, server;

	(void)state;
	connect_ours(&client, &server, "spiffe://corp.example/gateway/two");
	assert_int_equal(client.failure, -EACCES);
	assert_string_equal(client.error.what,
			    "gateway presented " GATEWAY
			    ", the link expects spiffe://corp.example/gateway/two");
	assert_int_equal(server.failure, -EKEYREJECTED);
	assert_string_equal(server.error.what, "the peer refused our certificate: it breaks a "
					       "rule, or its name is not the one expected");
	end_part(&client, &server);
	// The path is case-sensitive: a twin in upper case is somebody else.
	connect_ours(&client, &server, "spiffe://corp.example/GATEWAY/one");
	assert_int_equal(client.failure, -EACCES);
	end_part(&client, &server);
}

static void exports_differ_between_connections(void **state)
{
	uint8_t secrets[4][32], other[32];

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct end client, server;
		connect_ours(&client, &server, NULL);
		assert_int_equal(
			tls_export(client.ssl, "EXPORTER-mutun-data-1", "a", 1, secrets[2 * i], 32),
			0);
		assert_int_equal(tls_export(server.ssl, "EXPORTER-mutun-data-1", "a", 1,
					    secrets[2 * i + 1], 32),
				 0);
		assert_int_equal(tls_export(server.ssl, "EXPORTER-mutun-data-1", "b", 1, other, 32),
				 0);
		assert_memory_not_equal(other, secrets[2 * i], 32);
		end_part(&client, &server);
	}
	assert_memory_equal(secrets[0], secrets[1], 32);
	assert_memory_equal(secrets[2], secrets[3], 32);
	assert_memory_not_equal(secrets[0], secrets[2], 32);
	_cleanup_(SSL_freep) SSL *ssl = tls_new(alice, NULL);
	assert_int_equal(tls_export(ssl, "EXPORTER-mutun-data-1", "a", 1, other, 32), -EPROTO);
}

static int count_session(SSL *ssl, SSL_SESSION *session)
{
	unsigned *count = SSL_get_app_data(ssl);

	(void)session;
	(*count)++;
	return 0;
}

// A bare client that wants tickets gets none, and a session offered again is not taken.
static void never_resumes(void **state)
{
	struct bare bare = {.leaf = alice_leaf};
	_cleanup_(SSL_CTX_freep) SSL_CTX *context = bare_context(&bare);
	SSL_SESSION *session = NULL;
	unsigned tickets = 0;

	(void)state;
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context, count_session);
	for (int i = 0; i < 2; i++) {
		struct end client = {.ssl = bare_ssl(context, &bare)};
		struct end server = {.ssl = tls_new(gateway, NULL)};
		SSL_set_app_data(client.ssl, &tickets);
		if (session)
			SSL_set_session(client.ssl, session);
		end_join(&client, &server);
		assert_int_equal(client.result, 1);
		assert_int_equal(server.result, 1);
		assert_false(SSL_session_reused(client.ssl));
		assert_false(SSL_session_reused(server.ssl));
		assert_int_equal(tls_check(server.ssl, NULL), 0);
		SSL_SESSION_free(session);
		session = SSL_get1_session(client.ssl);
		assert_false(SSL_SESSION_is_resumable(session));
		end_part(&client, &server);
	}
	SSL_SESSION_free(session);
	assert_int_equal(tickets, 0);
}

// A connection made before a swap keeps what it was made from.
static void outlives_its_context(void **state)
{
	_cleanup_(tls_context_putp) struct tls_context *context =
		new_context(TLS_CLIENT, alice_leaf);
	struct end client = {.ssl = tls_new(context, NULL)};
	struct end server = {.ssl = tls_new(gateway, NULL)};

	(void)state;
	assert_ptr_equal(tls_context_trust(context), world->trust);
	assert_string_equal(credential_identity(tls_context_credential(context)), REFUSAL_ALICE);
	tls_context_put(tls_context_get(context));
	context = tls_context_put(context);
	end_join(&client, &server);
	assert_int_equal(client.result, 1);
	assert_int_equal(server.result, 1);
	end_part(&client, &server);
}

// The judgement of a handshake is one that can be asked again.
static void is_judged_again(void **state)
{
	_cleanup_(trust_putp) struct trust *changed =
		fixture_trust("corp.example", world->stranger);
	struct end client, server;
	struct verdict *verdict = NULL;
	struct error error = {0};

	(void)state;
	connect_ours(&client, &server, NULL);
	struct verdict *first = tls_verdict(server.ssl);
	assert_int_equal(verify_again(world->trust, first, clock_wall(), &verdict, NULL), 0);
	verdict = verdict_put(verdict);
	assert_int_equal(verify_again(changed, first, clock_wall(), &verdict, &error), -EACCES);
	assert_int_equal(
		verify_again(world->trust, first, verdict_not_after(first) + 1, &verdict, &error),
		-EACCES);
	end_part(&client, &server);
}

#define THREADS 4

static void *shake_hands(void *data)
{
	unsigned *good = data;

	for (int i = 0; i < 20; i++) {
		struct end client, server;
		connect_ours(&client, &server, "spiffe://corp.example/**");
		*good += client.result == 1 && server.result == 1 &&
			 tls_check(server.ssl, NULL) == 0;
		end_part(&client, &server);
	}
	return NULL;
}

static void is_shared_by_threads(void **state)
{
	pthread_t threads[THREADS];
	unsigned good[THREADS] = {0};

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, shake_hands, &good[i]), 0);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(good[i], 20);
	}
}

// A configuration file that takes the default provider away must not reach us.
static char *write_hostile_configuration(void)
{
	char *path = strdup("/tmp/mutun-test-openssl-XXXXXX");
	int fd = path ? mkstemp(path) : -1;

	if (fd < 0)
		abort();
	close(fd);
	fixture_write_text(path, "openssl_conf = all\n"
				 "[all]\nproviders = these\n"
				 "[these]\nnull = active\n"
				 "[active]\nactivate = 1\n");
	setenv("OPENSSL_CONF", path, 1);
	return path;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(admits_good_peers),
		cmocka_unit_test(has_no_verdict_before_the_handshake),
		cmocka_unit_test(refuses_every_line_of_the_matrix),
		cmocka_unit_test(demands_a_client_certificate),
		cmocka_unit_test(demands_tls_1_3),
		cmocka_unit_test(demands_our_protocol_of_clients),
		cmocka_unit_test(demands_our_protocol_of_servers),
		cmocka_unit_test(demands_the_expected_identity),

		cmocka_unit_test(exports_differ_between_connections),
		cmocka_unit_test(never_resumes),
		cmocka_unit_test(outlives_its_context),
		cmocka_unit_test(is_judged_again),
		cmocka_unit_test(is_shared_by_threads),
	};

	char *configuration = write_hostile_configuration();
	int failed = cmocka_run_group_tests(tests, set_up, tear_down);
	unlink(configuration);
	free(configuration);
	return failed;
}
