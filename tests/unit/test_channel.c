// SPDX-License-Identifier: Apache-2.0
// Two channels joined over memory, or one and a bare SSL object that keeps to TLS and to nothing else.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/verify.h"
#include "tun/channel.h"
#include "unit/context_fixture.h"

#define EVENTS_MAX 64
#define ALL	   SIZE_MAX

// A channel and what it told.
struct side {
	struct channel *channel;
	unsigned count, opens, messages, packets, closes, failures;
	struct message last; // no routes
	uint8_t packet[FRAME_MAX];
	size_t packet_size;
	size_t taken; // bytes of output
};

static struct fixture *root, *foreign_root;
static struct tls_context *gateway, *alice, *mallory, *late;

static int set_up(void **state)
{
	struct fixture_options expired = {
		.uris = {FIXTURE_ALICE}, .not_before_s = -86400, .not_after_s = 3600};
	(void)state;
	root = fixture_root("root");
	foreign_root = fixture_root("foreign");
	struct fixture *gateway_leaf = fixture_leaf(root, FIXTURE_GATEWAY);
	struct fixture *alice_leaf = fixture_leaf(root, FIXTURE_ALICE);
	struct fixture *mallory_leaf = fixture_leaf(foreign_root, FIXTURE_ALICE);
	struct fixture *late_leaf = fixture_issue(root, &expired);
	gateway = fixture_context(TLS_SERVER, gateway_leaf, root);
	alice = fixture_context(TLS_CLIENT, alice_leaf, root);
	mallory = fixture_context(TLS_CLIENT, mallory_leaf, root);
	late = fixture_context(TLS_CLIENT, late_leaf, root);
	fixture_free(gateway_leaf);
	fixture_free(alice_leaf);
	fixture_free(mallory_leaf);
	fixture_free(late_leaf);
	return gateway && alice && mallory && late ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	tls_context_put(gateway);
	tls_context_put(alice);
	tls_context_put(mallory);
	tls_context_put(late);
	fixture_free(root);
	fixture_free(foreign_root);
	return 0;
}

static void side_init(struct side *side, struct tls_context *context, enum tls_role role,
		      const char *expected)
{
	memset(side, 0, sizeof(*side));
	side->channel = channel_new(context, role, expected, 1000);
	assert_non_null(side->channel);
}

static void side_done(struct side *side)
{
	side->channel = channel_free(side->channel);
}

static void hear(struct side *side)
{
	struct channel_event event;
	for (channel_next(side->channel, &event); event.type != CHANNEL_NONE;
	     channel_next(side->channel, &event)) {
		assert_int_equal(side->closes + side->failures, 0); // those come last
		side->count++;
		side->opens += event.type == CHANNEL_OPEN;
		side->closes += event.type == CHANNEL_CLOSED;
		side->failures += event.type == CHANNEL_FAILED;
		if (event.type == CHANNEL_MESSAGE) {
			side->messages++;
			side->last = event.message;
			message_done(&event.message);
		} else if (event.type == CHANNEL_PACKET) {
			side->packets++;
			side->packet_size = event.packet_size;
			memcpy(side->packet, event.packet, event.packet_size);
		}
	}
}

// Carries up to `piece` bytes at a time. Returns how many in all.
static size_t carry(struct side *from, struct side *to, size_t piece)
{
	size_t total = 0, size;
	const uint8_t *data;
	while ((data = channel_output(from->channel, &size)) && size > 0) {
		size = size < piece ? size : piece;
		channel_feed(to->channel, data, size);
		channel_output_done(from->channel, size);
		total += size;
		hear(to);
	}
	from->taken += total;
	return total;
}

static void join(struct side *client, struct side *server, size_t piece)
{
	hear(client);
	hear(server);
	while (carry(client, server, piece) + carry(server, client, piece) > 0)
		;
}

static void join_new(struct side *client, struct side *server)
{
	side_init(client, alice, TLS_CLIENT, "spiffe://corp.example/gateway/*");
	side_init(server, gateway, TLS_SERVER, NULL);
	join(client, server, ALL);
	assert_int_equal(client->opens, 1);
	assert_int_equal(server->opens, 1);
}

static void part(struct side *client, struct side *server)
{
	side_done(client);
	side_done(server);
}

static const char *why(const struct side *side)
{
	return channel_error(side->channel)->what;
}

static void say_ping(struct side *side, uint64_t token)
{
	struct message ping = {.type = MESSAGE_PING, .ping = {.token = token}};
	assert_int_equal(channel_send(side->channel, &ping), 0);
}

static void opens_and_talks(void **unused)
{
	static const size_t pieces[] = {1, 2, 7, 100, ALL};
	static struct side client, server;
	uint8_t one[32], two[32];
	(void)unused;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		side_init(&client, alice, TLS_CLIENT, "spiffe://corp.example/gateway/*");
		side_init(&server, gateway, TLS_SERVER, NULL);
		join(&client, &server, pieces[i]);
		assert_int_equal(client.opens, 1);
		assert_int_equal(server.opens, 1);
		say_ping(&client, 7);
		assert_int_equal(channel_send_packet(server.channel, "packet", 6), 0);
		join(&client, &server, pieces[i]);
		assert_int_equal(server.messages, 1);
		assert_int_equal(server.last.type, MESSAGE_PING);
		assert_int_equal(server.last.ping.token, 7);
		assert_int_equal(client.packets, 1);
		assert_int_equal(client.packet_size, 6);
		assert_memory_equal(client.packet, "packet", 6);
		assert_int_equal(client.count, 2);
		assert_int_equal(server.count, 2);
		part(&client, &server);
	}
	join_new(&client, &server);
	assert_string_equal(verdict_identity(channel_verdict(client.channel)), FIXTURE_GATEWAY);
	assert_string_equal(verdict_identity(channel_verdict(server.channel)), FIXTURE_ALICE);
	assert_ptr_equal(channel_context(client.channel), alice);
	assert_string_equal(channel_group(client.channel), channel_group(server.channel));
	assert_int_equal(channel_export(client.channel, "EXPORTER-test", "x", 1, one, 32), 0);
	assert_int_equal(channel_export(server.channel, "EXPORTER-test", "x", 1, two, 32), 0);
	assert_memory_equal(one, two, 32);
	part(&client, &server);
}

// Up to `cut` bytes from the start of the stream of one side in one piece, then the rest.
static size_t carry_cut(struct side *from, struct side *to, size_t cut)
{
	size_t before = from->taken, size;
	for (channel_output(from->channel, &size); size > 0; channel_output(from->channel, &size)) {
		size_t left = from->taken < cut ? cut - from->taken : ALL;
		const uint8_t *data = channel_output(from->channel, &size);
		size = size < left ? size : left;
		channel_feed(to->channel, data, size);
		channel_output_done(from->channel, size);
		from->taken += size;
		hear(to);
	}
	return from->taken - before;
}

static void survives_every_cut(void **unused)
{
	static struct side client, server;
	(void)unused;
	for (size_t cut = 1; cut < 2500; cut += 5) {
		side_init(&client, alice, TLS_CLIENT, NULL);
		side_init(&server, gateway, TLS_SERVER, NULL);
		hear(&client);
		while (carry_cut(&client, &server, cut) + carry_cut(&server, &client, cut) > 0)
			;
		say_ping(&client, cut);
		carry_cut(&client, &server, cut);
		assert_int_equal(server.last.ping.token, cut);
		assert_int_equal(client.count, 1);
		assert_int_equal(server.count, 2);
		part(&client, &server);
	}
	join_new(&client, &server);
	for (size_t cut = 1; cut < 60; cut++) {
		say_ping(&client, cut);
		join(&client, &server, cut);
		assert_int_equal(server.messages, cut);
		assert_int_equal(server.last.ping.token, cut);
	}
	part(&client, &server);
}

// Not an event is lost when everything comes at once, the last flight of the handshake included.
static void coalesces(void **unused)
{
	static struct side client, server;
	(void)unused;
	side_init(&client, alice, TLS_CLIENT, NULL);
	side_init(&server, gateway, TLS_SERVER, NULL);
	hear(&client);
	carry(&client, &server, ALL);
	carry(&server, &client, ALL);
	assert_int_equal(client.opens, 1);
	assert_int_equal(server.opens, 0);
	for (unsigned i = 0; i < 100; i++)
		say_ping(&client, i);
	assert_int_equal(channel_send_packet(client.channel, "", 0), 0);
	channel_close(client.channel, &(struct message_bye){.code = BYE_SHUTDOWN, .text = "done"});
	carry(&client, &server, ALL);
	assert_int_equal(server.opens, 1);
	assert_int_equal(server.messages, 101);
	assert_int_equal(server.packets, 1);
	assert_int_equal(server.packet_size, 0);
	assert_int_equal(server.last.bye.code, BYE_SHUTDOWN);
	assert_string_equal(server.last.bye.text, "done");
	assert_int_equal(server.closes, 1);
	part(&client, &server);
}

static void carries_the_longest_frames(void **unused)
{
	static struct side client, server;
	static uint8_t packet[FRAME_MAX + 1];
	(void)unused;
	join_new(&client, &server);
	memset(packet, 0xa5, sizeof(packet));
	assert_int_equal(channel_send_packet(client.channel, packet, FRAME_MAX + 1), -EMSGSIZE);
	assert_int_equal(channel_send_packet(client.channel, packet, FRAME_MAX), 0);
	join(&client, &server, 1000);
	assert_int_equal(server.packets, 1);
	assert_int_equal(server.packet_size, FRAME_MAX);
	assert_memory_equal(server.packet, packet, FRAME_MAX);
	part(&client, &server);
}

// The client is open before the server has judged it; the refusal comes after.
static void tells_the_client_why(void **unused)
{
	static struct side client, server;
	(void)unused;
	side_init(&client, mallory, TLS_CLIENT, NULL);
	side_init(&server, gateway, TLS_SERVER, NULL);
	join(&client, &server, 1);
	assert_int_equal(server.opens, 0);
	assert_int_equal(server.failures, 1);
	assert_int_equal(channel_error(server.channel)->code, EACCES);
	assert_int_equal(client.opens, 1);
	assert_int_equal(client.failures, 1);
	assert_int_equal(channel_error(client.channel)->code, EKEYREJECTED);
	assert_non_null(strstr(why(&client), "the peer refused our certificate"));
	assert_int_equal(channel_send(client.channel, &(struct message){.type = MESSAGE_PING}),
			 -ENOTCONN);
	assert_int_equal(channel_deadline(server.channel), CLOCK_NEVER);
	part(&client, &server);

	clock_set_wall(clock_wall() + 7200);
	side_init(&client, late, TLS_CLIENT, NULL);
	side_init(&server, gateway, TLS_SERVER, NULL);
	join(&client, &server, ALL);
	clock_set_wall(0);
	assert_int_equal(client.failures, 1);
	assert_non_null(strstr(why(&client), "expired"));
	assert_non_null(strstr(why(&server), "expired"));
	part(&client, &server);
}

static void tells_the_server_why(void **unused)
{
	static struct side client, server;
	(void)unused;
	side_init(&client, alice, TLS_CLIENT, "spiffe://corp.example/gateway/other");
	side_init(&server, gateway, TLS_SERVER, NULL);
	join(&client, &server, ALL);
	assert_int_equal(client.opens, 0);
	assert_int_equal(client.failures, 1);
	assert_non_null(strstr(why(&client), "gateway presented " FIXTURE_GATEWAY));
	assert_int_equal(server.opens, 0);
	assert_int_equal(server.failures, 1);
	assert_non_null(strstr(why(&server), "the peer refused"));
	part(&client, &server);
}

static void refuses_what_is_not_tls(void **unused)
{
	static struct side server, client;
	static const char request[] = "GET / HTTP/1.1\r\nHost: example\r\n\r\n";
	(void)unused;
	side_init(&server, gateway, TLS_SERVER, NULL);
	channel_feed(server.channel, request, strlen(request));
	hear(&server);
	assert_int_equal(server.failures, 1);
	assert_int_equal(channel_error(server.channel)->code, EPROTO);
	side_done(&server);
	side_init(&client, alice, TLS_CLIENT, NULL);
	hear(&client);
	channel_feed(client.channel, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
	hear(&client);
	assert_int_equal(client.failures, 1);
	side_done(&client);
}

// Somebody on the way says "bad certificate", in plain text.
static void believes_no_refusal_by_just_anybody(void **unused)
{
	static struct side client;
	(void)unused;
	side_init(&client, alice, TLS_CLIENT, NULL);
	hear(&client);
	channel_feed(client.channel, "\x15\x03\x03\x00\x02\x02\x2a", 7);
	hear(&client);
	assert_int_equal(client.failures, 1);
	assert_int_equal(channel_error(client.channel)->code, EPROTO);
	assert_non_null(strstr(why(&client), "before the peer had proved itself"));
	side_done(&client);
}

static void cuts_at_one_deadline(void **unused)
{
	static struct side client, server;
	const uint8_t *data;
	size_t size;
	(void)unused;
	side_init(&client, alice, TLS_CLIENT, NULL);
	side_init(&server, gateway, TLS_SERVER, NULL);
	hear(&client);
	data = channel_output(client.channel, &size);
	assert_true(size > 100);
	assert_int_equal(channel_deadline(server.channel), 1000 + CHANNEL_HANDSHAKE_MS);
	// A byte every 100 ms moves nothing.
	for (uint64_t now = 1000; now < 1000 + CHANNEL_HANDSHAKE_MS; now += 100) {
		channel_feed(server.channel, data + (now - 1000) / 100, 1);
		channel_expire(server.channel, now);
		hear(&server);
		assert_int_equal(server.count, 0);
		assert_int_equal(channel_deadline(server.channel), 1000 + CHANNEL_HANDSHAKE_MS);
	}
	channel_expire(server.channel, 1000 + CHANNEL_HANDSHAKE_MS);
	hear(&server);
	assert_int_equal(server.failures, 1);
	assert_int_equal(channel_error(server.channel)->code, ETIMEDOUT);
	assert_int_equal(channel_deadline(server.channel), CLOCK_NEVER);
	part(&client, &server);
	join_new(&client, &server);
	assert_int_equal(channel_deadline(server.channel), CLOCK_NEVER);
	channel_expire(server.channel, UINT64_MAX - 1);
	hear(&server);
	assert_int_equal(server.failures, 0);
	part(&client, &server);
}

static void ends_with_the_stream(void **unused)
{
	static struct side client, server;
	(void)unused;
	side_init(&client, alice, TLS_CLIENT, NULL);
	hear(&client);
	channel_feed(client.channel, NULL, 0);
	hear(&client);
	assert_int_equal(client.failures, 1);
	assert_string_equal(why(&client), "the connection was closed during the TLS handshake");
	side_done(&client);
	join_new(&client, &server);
	channel_feed(client.channel, NULL, 0);
	hear(&client);
	assert_int_equal(client.closes, 1);
	assert_int_equal(channel_send_packet(client.channel, "x", 1), -ENOTCONN);
	// What came before the end is heard before the end, half a frame is not.
	say_ping(&server, 5);
	part(&client, &server);
	join_new(&client, &server);
	say_ping(&client, 6);
	say_ping(&client, 7);
	size_t size;
	const uint8_t *data = channel_output(client.channel, &size);
	channel_feed(server.channel, data, size - 1);
	channel_feed(server.channel, NULL, 0);
	hear(&server);
	assert_int_equal(server.messages, 1);
	assert_int_equal(server.last.ping.token, 6);
	assert_int_equal(server.closes, 1);
	part(&client, &server);
}

static void says_bye(void **unused)
{
	static struct side client, server;
	struct message_bye bye = {.code = BYE_REFUSED, .text = "not here", .retry_after_s = 60};
	(void)unused;
	join_new(&client, &server);
	channel_close(server.channel, &bye);
	assert_int_equal(channel_send_packet(server.channel, "x", 1), -ENOTCONN);
	join(&client, &server, ALL);
	assert_int_equal(client.messages, 1);
	assert_int_equal(client.last.bye.code, BYE_REFUSED);
	assert_int_equal(client.last.bye.retry_after_s, 60);
	assert_int_equal(client.closes, 1);
	assert_int_equal(server.count, 1); // OPEN alone
	channel_close(server.channel, &bye);
	channel_close(client.channel, NULL);
	part(&client, &server);
	side_init(&server, gateway, TLS_SERVER, NULL);
	channel_close(server.channel, &bye); // nothing can be said yet
	hear(&server);
	assert_int_equal(server.count, 0);
	side_done(&server);
}

static void bounds_its_output(void **unused)
{
	static struct side client, server;
	static uint8_t packet[FRAME_MAX];
	size_t size = 0;
	unsigned queued = 0;
	(void)unused;
	join_new(&client, &server);
	while (channel_send_packet(client.channel, packet, sizeof(packet)) == 0)
		queued++;
	assert_in_range(queued, 16, 17);
	channel_output(client.channel, &size);
	assert_in_range(size, CHANNEL_OUTPUT_MAX, CHANNEL_OUTPUT_MAX + 2 * FRAME_MAX);
	assert_int_equal(channel_send(client.channel, &(struct message){.type = MESSAGE_PING}),
			 -ENOBUFS);
	join(&client, &server, 16384);
	assert_int_equal(server.packets, queued);
	say_ping(&client, 1);
	part(&client, &server);
}

static void bounds_input_before_open(void **unused)
{
	static struct side server;
	static uint8_t bytes[CHANNEL_UNREAD_MAX + 1];
	(void)unused;
	side_init(&server, gateway, TLS_SERVER, NULL);
	channel_feed(server.channel, bytes, sizeof(bytes));
	hear(&server);
	assert_int_equal(server.failures, 1);
	assert_non_null(strstr(why(&server), "before the TLS handshake was done"));
	side_done(&server);
	side_init(&server, gateway, TLS_SERVER, NULL);
	for (unsigned i = 0; i <= CHANNEL_UNREAD_MAX; i += 1024)
		channel_feed(server.channel, bytes, 1024);
	hear(&server);
	assert_int_equal(server.failures, 1);
	side_done(&server);
}

// A bare client that is in the handshake's end with `server`.
static SSL *bare_client(struct side *server)
{
	uint8_t data[8192];
	size_t size;
	SSL *ssl = tls_new(alice, NULL);
	assert_non_null(ssl);
	side_init(server, gateway, TLS_SERVER, NULL);
	while (!server->opens) {
		SSL_do_handshake(ssl);
		int n = BIO_read(SSL_get_wbio(ssl), data, sizeof(data));
		if (n > 0)
			channel_feed(server->channel, data, (size_t)n);
		hear(server);
		const uint8_t *answer = channel_output(server->channel, &size);
		BIO_write(SSL_get_rbio(ssl), answer, (int)size);
		channel_output_done(server->channel, size);
	}
	return ssl;
}

static void bare_send(SSL *ssl, struct side *server)
{
	uint8_t data[16384];
	int n;
	while ((n = BIO_read(SSL_get_wbio(ssl), data, sizeof(data))) > 0)
		channel_feed(server->channel, data, (size_t)n);
	hear(server);
}

static void bounds_key_updates(void **unused)
{
	static struct side server;
	unsigned rounds = 0;
	size_t size;
	(void)unused;
	SSL *ssl = bare_client(&server);
	while (!server.failures && rounds++ < 100000) {
		assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
		SSL_do_handshake(ssl);
		bare_send(ssl, &server);
	}
	assert_int_equal(server.failures, 1);
	assert_in_range(rounds, 10, 20000);
	assert_non_null(strstr(why(&server), "without a message"));
	channel_output(server.channel, &size);
	assert_true(size < CHANNEL_OUTPUT_MAX);
	SSL_free(ssl);
	side_done(&server);
}

// One key update now and then, between messages, is good.
static void takes_key_updates(void **unused)
{
	static const char ping[] = "\x01\x00\x00\x19{\"type\":\"PING\",\"token\":1}";
	static struct side server;
	(void)unused;
	SSL *ssl = bare_client(&server);
	for (unsigned i = 1; i <= 3000; i++) {
		assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_write(ssl, ping, sizeof(ping) - 1), (int)sizeof(ping) - 1);
		bare_send(ssl, &server);
		assert_int_equal(server.messages, i);
	}
	SSL_free(ssl);
	side_done(&server);
}

static void assert_bare_refused(const void *frame, size_t size, const char *what)
{
	static struct side server;
	uint8_t answer[1024] = "";
	SSL *ssl = bare_client(&server);
	assert_int_equal(SSL_write(ssl, frame, (int)size), (int)size);
	bare_send(ssl, &server);
	assert_int_equal(server.failures, 1);
	assert_int_equal(server.messages, 0);
	assert_int_equal(channel_error(server.channel)->code, EPROTO);
	assert_non_null(strstr(why(&server), what));
	const uint8_t *data = channel_output(server.channel, &size);
	BIO_write(SSL_get_rbio(ssl), data, (int)size);
	int n = SSL_read(ssl, answer, sizeof(answer) - 1);
	assert_true(n > (int)FRAME_HEADER);
	struct message message;
	assert_int_equal(
		message_decode(answer + FRAME_HEADER, (size_t)n - FRAME_HEADER, &message, NULL), 0);
	assert_int_equal(message.type, MESSAGE_BYE);
	assert_int_equal(message.bye.code, BYE_PROTOCOL);
	assert_non_null(strstr(message.bye.text, what));
	assert_int_equal(SSL_read(ssl, answer, sizeof(answer)), 0);
	assert_int_equal(SSL_get_error(ssl, 0), SSL_ERROR_ZERO_RETURN);
	SSL_free(ssl);
	side_done(&server);
}

static void answers_bad_frames(void **unused)
{
	(void)unused;
	assert_bare_refused("\x03\x00\x00\x00", 4, "unknown frame type 3");
	assert_bare_refused("\x00", 1, "unknown frame type 0");
	assert_bare_refused("\x01\x01\x00\x00", 4, "a frame of 65536 bytes");
	assert_bare_refused("\x02\xff\xff\xff", 4, "a frame of 16777215 bytes");
	assert_bare_refused("\x01\x00\x00\x00", 4, "not valid JSON");
	assert_bare_refused("\x01\x00\x00\x0f{\"type\":\"MOVE\"}", 19, "unknown message \"MOVE\"");
	assert_bare_refused("\x01\x00\x00\x0f{\"type\":\"PING\"}", 19, "PING.token is missing");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_and_talks),
		cmocka_unit_test(survives_every_cut),
		cmocka_unit_test(coalesces),
		cmocka_unit_test(carries_the_longest_frames),
		cmocka_unit_test(tells_the_client_why),
		cmocka_unit_test(tells_the_server_why),
		cmocka_unit_test(refuses_what_is_not_tls),
		cmocka_unit_test(believes_no_refusal_by_just_anybody),
		cmocka_unit_test(cuts_at_one_deadline),
		cmocka_unit_test(ends_with_the_stream),
		cmocka_unit_test(says_bye),
		cmocka_unit_test(bounds_its_output),
		cmocka_unit_test(bounds_input_before_open),
		cmocka_unit_test(bounds_key_updates),
		cmocka_unit_test(takes_key_updates),
		cmocka_unit_test(answers_bad_frames),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
