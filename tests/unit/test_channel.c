// SPDX-License-Identifier: Apache-2.0
// Two channels joined over memory.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "base/clock.h"
#include "pki/verify.h"
#include "unit/channel_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_and_talks),
		cmocka_unit_test(survives_every_cut),
		cmocka_unit_test(coalesces),
		cmocka_unit_test(carries_the_longest_frames),
		cmocka_unit_test(tells_the_client_why),
		cmocka_unit_test(tells_the_server_why),
		cmocka_unit_test(cuts_at_one_deadline),
		cmocka_unit_test(ends_with_the_stream),
		cmocka_unit_test(says_bye),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
