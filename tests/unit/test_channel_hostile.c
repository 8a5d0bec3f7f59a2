// SPDX-License-Identifier: Apache-2.0
// A channel and somebody who keeps to TLS and to nothing else, or not even to that.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "unit/channel_fixture.h"

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
		cmocka_unit_test(refuses_what_is_not_tls),
		cmocka_unit_test(believes_no_refusal_by_just_anybody),
		cmocka_unit_test(bounds_its_output),
		cmocka_unit_test(bounds_input_before_open),
		cmocka_unit_test(bounds_key_updates),
		cmocka_unit_test(takes_key_updates),
		cmocka_unit_test(answers_bad_frames),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
