// SPDX-License-Identifier: Apache-2.0
// A gateway's channel that takes clients of HTTP, too, and bare SSL objects that are such clients.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "base/error.h"
#include "pki/verify.h"
#include "tun/channel.h"
#include "unit/bare_peer.h"
#include "unit/context_fixture.h"

#define HTTP "\x08http/1.1"
#define ASK  "GET /.well-known/est/cacerts HTTP/1.1\r\nHost: x\r\n\r\n"

// Both ends of a connection.
struct pair {
	SSL_CTX *context;
	SSL *client;
	struct channel *server;
	unsigned opens, ends;
	char said[4096]; // to the server
	size_t size;
};

static struct fixture *root, *foreign_root, *alice_leaf, *expired_leaf, *mallory_leaf;
static struct tls_context *open_to_all, *closed;

static int set_up(void **state)
{
	struct fixture_options expired = {
		.uris = {FIXTURE_ALICE}, .not_before_s = -86400, .not_after_s = -60};

	(void)state;
	root = fixture_root("root");
	foreign_root = fixture_root("foreign");
	struct fixture *gateway = fixture_leaf(root, FIXTURE_GATEWAY);
	alice_leaf = fixture_leaf(root, FIXTURE_ALICE);
	mallory_leaf = fixture_leaf(foreign_root, FIXTURE_ALICE);
	expired_leaf = fixture_issue(root, &expired);
	open_to_all = fixture_context(TLS_SERVER, gateway, root);
	closed = fixture_context(TLS_SERVER, gateway, root);
	fixture_free(gateway);
	if (!open_to_all || !closed)
		return -1;
	tls_context_allow_http(open_to_all);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tls_context_put(open_to_all);
	tls_context_put(closed);
	fixture_free(alice_leaf);
	fixture_free(expired_leaf);
	fixture_free(mallory_leaf);
	fixture_free(root);
	fixture_free(foreign_root);
	return 0;
}

static void hear(struct pair *pair)
{
	struct channel_event event;

	for (channel_next(pair->server, &event); event.type != CHANNEL_NONE;
	     channel_next(pair->server, &event)) {
		pair->opens += event.type == CHANNEL_OPEN;
		pair->ends += event.type == CHANNEL_CLOSED || event.type == CHANNEL_FAILED;
		assert_true(event.type != CHANNEL_MESSAGE && event.type != CHANNEL_PACKET);
		if (event.type != CHANNEL_BYTES)
			continue;
		assert_true(pair->size + event.packet_size < sizeof(pair->said));
		memcpy(pair->said + pair->size, event.packet, event.packet_size);
		pair->size += event.packet_size;
	}
}

// Carries what there is, both ways. Whether anything moved.
static bool carry(struct pair *pair)
{
	BIO *out = SSL_get_wbio(pair->client), *in = SSL_get_rbio(pair->client);
	char bytes[65536];
	size_t size;
	bool moved = false;

	for (int n; (n = BIO_read(out, bytes, sizeof(bytes))) > 0; moved = true) {
		channel_feed(pair->server, bytes, (size_t)n);
		hear(pair);
	}
	const uint8_t *data = channel_output(pair->server, &size);
	if (size > 0) {
		BIO_write(in, data, (int)size);
		channel_output_done(pair->server, size);
		moved = true;
	}
	return moved;
}

static void meet(struct pair *pair, struct tls_context *context, const struct bare *bare)
{
	*pair = (struct pair){.context = bare_context(bare),
			      .server = channel_new(context, TLS_SERVER, NULL, 1000)};
	pair->client = bare_ssl(pair->context, bare);
	assert_non_null(pair->server);
	do
		SSL_do_handshake(pair->client);
	while (carry(pair));
}

static void part(struct pair *pair)
{
	SSL_free(pair->client);
	SSL_CTX_free(pair->context);
	channel_free(pair->server);
}

static void takes_who_has_no_certificate(void **state)
{
	static const char several[] = "\x02h2" HTTP;
	static const char *const protocols[] = {HTTP, "", several};
	struct pair pair;

	(void)state;
	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
		struct bare bare = {.alpn = protocols[i]};
		meet(&pair, open_to_all, &bare);
		assert_int_equal(pair.opens, 1);
		assert_int_equal(pair.ends, 0);
		assert_true(channel_is_http(pair.server));
		assert_null(channel_verdict(pair.server));
		part(&pair);
	}
}

static void judges_a_certificate_that_is_shown(void **state)
{
	const struct {
		const struct fixture *leaf;
		const char *what;
	} bad[] = {{expired_leaf, "expired"}, {mallory_leaf, "unknown CA"}};
	struct bare good = {.alpn = HTTP, .leaf = alice_leaf};
	struct pair pair;

	(void)state;
	meet(&pair, open_to_all, &good);
	assert_int_equal(pair.opens, 1);
	assert_true(channel_is_http(pair.server));
	assert_string_equal(verdict_identity(channel_verdict(pair.server)), FIXTURE_ALICE);
	part(&pair);
	for (size_t i = 0; i < 2; i++) {
		struct bare bare = {.alpn = HTTP, .leaf = bad[i].leaf};
		meet(&pair, open_to_all, &bare);
		assert_int_equal(pair.opens, 0);
		assert_int_equal(pair.ends, 1);
		assert_non_null(strstr(channel_error(pair.server)->what, bad[i].what));
		part(&pair);
	}
}

// Our own protocol takes nobody without a certificate, and is taken where both are offered.
static void keeps_its_own_protocol_apart(void **state)
{
	struct bare naked = {0}, both = {.alpn = HTTP "\x07" TLS_ALPN, .leaf = alice_leaf},
		    both_naked = {.alpn = HTTP "\x07" TLS_ALPN};
	struct pair pair;

	(void)state;
	meet(&pair, open_to_all, &naked);
	assert_int_equal(pair.opens, 0);
	part(&pair);
	meet(&pair, open_to_all, &both);
	assert_int_equal(pair.opens, 1);
	assert_false(channel_is_http(pair.server));
	part(&pair);
	meet(&pair, open_to_all, &both_naked);
	assert_int_equal(pair.opens, 0);
	part(&pair);
}

static void speaks_no_http_where_it_is_not_served(void **state)
{
	static const char *const protocols[] = {HTTP, ""};
	struct pair pair;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct bare naked = {.alpn = protocols[i]};
		struct bare alice = {.alpn = protocols[i], .leaf = alice_leaf};
		meet(&pair, closed, &naked);
		assert_int_equal(pair.opens, 0);
		part(&pair);
		meet(&pair, closed, &alice);
		assert_int_equal(pair.opens, 0);
		part(&pair);
	}
}

static void speaks_tls_1_3_alone(void **state)
{
	struct bare old = {.alpn = HTTP, .version = TLS1_2_VERSION};
	struct pair pair;

	(void)state;
	meet(&pair, open_to_all, &old);
	assert_int_equal(pair.opens, 0);
	part(&pair);
}

static void carries_bytes_both_ways(void **state)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\n\r\n";
	struct bare bare = {.alpn = HTTP};
	struct pair pair;
	char text[64];

	(void)state;
	meet(&pair, open_to_all, &bare);
	for (const char *at = ASK; *at; at++) { // byte by byte
		assert_int_equal(SSL_write(pair.client, at, 1), 1);
		carry(&pair);
	}
	assert_int_equal(pair.size, strlen(ASK));
	assert_memory_equal(pair.said, ASK, strlen(ASK));
	assert_int_equal(channel_send_bytes(pair.server, answer, strlen(answer)), 0);
	carry(&pair);
	assert_int_equal(SSL_read(pair.client, text, sizeof(text)), (int)strlen(answer));
	assert_memory_equal(text, answer, strlen(answer));
	// No BYE in between: it is no frame of theirs.
	channel_close(pair.server, &(struct message_bye){.code = BYE_SHUTDOWN});
	carry(&pair);
	assert_int_equal(SSL_read(pair.client, text, sizeof(text)), 0);
	assert_int_equal(SSL_get_shutdown(pair.client), SSL_RECEIVED_SHUTDOWN);
	part(&pair);
}

static void ends_with_the_client(void **state)
{
	struct bare bare = {.alpn = HTTP};
	struct pair pair;

	(void)state;
	meet(&pair, open_to_all, &bare);
	SSL_shutdown(pair.client);
	carry(&pair);
	assert_int_equal(pair.ends, 1);
	assert_int_equal(channel_send_bytes(pair.server, "x", 1), -ENOTCONN);
	part(&pair);
}

// Who reads nothing is not waited for without end.
static void bounds_its_output(void **state)
{
	static const char block[16384] = "";
	struct bare bare = {.alpn = HTTP};
	struct pair pair;
	unsigned count = 0;

	(void)state;
	meet(&pair, open_to_all, &bare);
	while (channel_send_bytes(pair.server, block, sizeof(block)) == 0)
		assert_true(++count <= CHANNEL_OUTPUT_MAX / sizeof(block) + 1);
	assert_int_equal(channel_send_bytes(pair.server, block, 1), -ENOBUFS);
	part(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_who_has_no_certificate),
		cmocka_unit_test(judges_a_certificate_that_is_shown),
		cmocka_unit_test(keeps_its_own_protocol_apart),
		cmocka_unit_test(speaks_no_http_where_it_is_not_served),
		cmocka_unit_test(speaks_tls_1_3_alone),
		cmocka_unit_test(carries_bytes_both_ways),
		cmocka_unit_test(ends_with_the_client),
		cmocka_unit_test(bounds_its_output),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
