// SPDX-License-Identifier: Apache-2.0
// Packets between two data planes with two workers each.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "tun/datagram.h"
#include "unit/relay_fixture.h"

#define WORKERS 2u
#define FLOOD	64u

static struct tunnel *tunnel;
static struct relay relay;

static int set_up(void **state)
{
	(void)state;
	tunnel = tunnel_new(WORKERS);
	relay_init(&relay, tunnel);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tunnel = tunnel_free(tunnel);
	relay_done(&relay);
	return 0;
}

static bool is_quiet(struct tunnel_end *end)
{
	uint8_t packet[TUNNEL_MTU];
	return tunnel_read(end, TUNNEL_QUIET_MS, packet) == 0;
}

static uint64_t stranger_drops(const struct tunnel_end *end, enum drop drop)
{
	uint64_t drops[DROP_LAST + 1];
	dataplane_drops(end->dataplane, drops);
	return drops[drop];
}

static void wait_stranger_drops(const struct tunnel_end *end, enum drop drop, uint64_t count)
{
	for (int i = 0; i < TUNNEL_WAIT_MS && stranger_drops(end, drop) < count; i++)
		usleep(1000);
	assert_int_equal(stranger_drops(end, drop), count);
}

static void flood(struct tunnel_end *from, struct tunnel_end *to, bool up, bool ipv6)
{
	bool seen[FLOOD] = {false};
	uint8_t packet[TUNNEL_MTU];
	const char *client = ipv6 ? TUNNEL_CLIENT_6 : TUNNEL_CLIENT;
	const char *gateway = ipv6 ? TUNNEL_GATEWAY_6 : TUNNEL_GATEWAY;
	for (uint32_t i = 0; i < FLOOD; i++) {
		tunnel_make_packet(packet, up ? client : gateway, up ? gateway : client, i);
		tunnel_write(from, i % WORKERS, packet, TUNNEL_PACKET);
	}
	for (uint32_t i = 0; i < FLOOD; i++) {
		assert_int_equal(tunnel_read(to, TUNNEL_WAIT_MS, packet), TUNNEL_PACKET);
		uint32_t number = tunnel_number(packet);
		assert_true(number < FLOOD && !seen[number]);
		seen[number] = true;
	}
}

static void carries_packets_both_ways(void **state)
{
	struct session_status status;

	(void)state;
	tunnel_renew(tunnel, 1, clock_ms());
	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
		flood(&tunnel->client, &tunnel->gateway, true, ipv6);
		flood(&tunnel->gateway, &tunnel->client, false, ipv6);
	}
	session_status(tunnel->gateway.session, &status);
	assert_int_equal(status.totals.rx_packets, 2 * FLOOD + 1);
	assert_int_equal(status.totals.tx_packets, 2 * FLOOD + 1);
	assert_int_equal(status.totals.rx_bytes, (2 * FLOOD + 1) * TUNNEL_PACKET);
	for (unsigned d = DROP_NONE; d <= DROP_LAST; d++) {
		assert_int_equal(status.drops[d], 0);
		assert_int_equal(tunnel_drops(&tunnel->client, (enum drop)d), 0);
		assert_int_equal(stranger_drops(&tunnel->gateway, (enum drop)d), 0);
	}
}

static void sends_only_what_has_a_route(void **state)
{
	uint8_t packet[2 * TUNNEL_MTU] = {0};

	(void)state;
	tunnel_renew(tunnel, 1, clock_ms());
	tunnel_make_packet(packet, TUNNEL_CLIENT, "10.90.0.3", 1);
	tunnel_write(&tunnel->client, 0, packet, TUNNEL_PACKET);
	wait_stranger_drops(&tunnel->client, DROP_ROUTE, 1);
	tunnel_make_packet(packet, TUNNEL_CLIENT, TUNNEL_GATEWAY, 1);
	tunnel_write(&tunnel->client, 0, packet, TUNNEL_PACKET - 1);
	wait_stranger_drops(&tunnel->client, DROP_MALFORMED, 1);
	tunnel_write(&tunnel->client, 0, packet,
		     TUNNEL_PACKET + 6); // with padding, as a frame may have it
	wait_stranger_drops(&tunnel->client, DROP_MALFORMED, 2);
	packet[2] = (TUNNEL_MTU + 1) >> 8;
	packet[3] = (TUNNEL_MTU + 1) & 0xff;
	packet[6] = 0x40; // or it would be fragmented
	tunnel_write(&tunnel->client, 0, packet, TUNNEL_MTU + 1);
	tunnel_wait_drops(&tunnel->client, DROP_SIZE, 1);
	assert_true(is_quiet(&tunnel->gateway));
	tunnel_up(tunnel, 1);
}

static void a_session_speaks_for_its_own_addresses_only(void **state)
{
	uint8_t packet[TUNNEL_PACKET];
	struct prefix behind;

	(void)state;
	tunnel_renew(tunnel, 1, clock_ms());
	assert_int_equal(prefix_parse("10.91.0.0/16", &behind), 0);
	assert_int_equal(routes_add(dataplane_routes(tunnel->client.dataplane), &behind, 1,
				    tunnel->client.session),
			 0);
	tunnel_make_packet(packet, "10.90.0.3", TUNNEL_GATEWAY, 1);
	tunnel_write(&tunnel->client, 0, packet, TUNNEL_PACKET);
	tunnel_wait_drops(&tunnel->gateway, DROP_SOURCE, 1);
	tunnel_make_packet(packet, TUNNEL_GATEWAY, "10.91.0.1", 1);
	tunnel_write(&tunnel->client, 0, packet, TUNNEL_PACKET);
	tunnel_wait_drops(&tunnel->gateway, DROP_SOURCE, 2);
	tunnel_make_packet(packet, "fd90::3", TUNNEL_GATEWAY_6, 1);
	tunnel_write(&tunnel->client, 0, packet, TUNNEL_PACKET);
	tunnel_wait_drops(&tunnel->gateway, DROP_SOURCE, 3);
	// An address that is another session's.
	_cleanup_(session_freep) struct session *other = NULL;
	struct prefix prefix;
	assert_int_equal(
		session_new(tunnel->gateway.dataplane, false, "spiffe://a/b", NULL, 25, &other), 0);
	assert_int_equal(prefix_parse("10.90.0.3/32", &prefix), 0);
	assert_int_equal(routes_add(dataplane_routes(tunnel->gateway.dataplane), &prefix, 1, other),
			 0);
	tunnel_make_packet(packet, "10.90.0.3", TUNNEL_GATEWAY, 1);
	tunnel_write(&tunnel->client, 0, packet, TUNNEL_PACKET);
	tunnel_wait_drops(&tunnel->gateway, DROP_SOURCE, 4);
	assert_true(is_quiet(&tunnel->gateway));
}

static void strangers_get_no_answer(void **state)
{
	struct datagram datagram, nothing;

	(void)state;
	tunnel_renew(tunnel, 1, clock_ms());
	relay_begin(&relay, "127.0.0.1:0");
	relay_catch_up(&relay, 0, 1, &datagram);
	struct datagram damaged = datagram;
	damaged.bytes[RELAY_DATAGRAM - 1] ^= 1;
	relay_give_up(&relay, &damaged);
	tunnel_wait_drops(&tunnel->gateway, DROP_TAG, 1);
	damaged = datagram;
	damaged.bytes[4] ^= 1; // receiver index
	relay_give_up(&relay, &damaged);
	wait_stranger_drops(&tunnel->gateway, DROP_INDEX, 1);
	damaged.bytes[0] = 2;
	relay_give_up(&relay, &damaged);
	wait_stranger_drops(&tunnel->gateway, DROP_TYPE, 1);
	damaged.size = PACKET_OVERHEAD - 1;
	relay_give_up(&relay, &damaged);
	wait_stranger_drops(&tunnel->gateway, DROP_SHORT, 1);
	damaged = datagram;
	damaged.bytes[2] = WORKERS;
	relay_give_up(&relay, &damaged);
	tunnel_wait_drops(&tunnel->gateway, DROP_LANE, 1);
	assert_true(is_quiet(&tunnel->gateway));
	assert_false(relay_take(&relay, relay.far_fd, 0, &nothing));
	// Nothing of this has used up the counter.
	relay_give_up(&relay, &datagram);
	assert_true(tunnel_arrives(&tunnel->gateway, 1));
}

static void a_replay_changes_nothing(void **state)
{
	struct datagram datagram;

	(void)state;
	tunnel_renew(tunnel, 1, clock_ms());
	relay_begin(&relay, "127.0.0.1:0");
	relay_catch_up(&relay, 0, 1, &datagram);
	relay_give_up(&relay, &datagram);
	assert_true(tunnel_arrives(&tunnel->gateway, 1));
	// From another address, too: else whoever copies a packet could lead the tunnel away.
	int elsewhere = relay_open_socket("127.0.0.66:0");
	int before = relay.far_fd;
	relay.far_fd = elsewhere;
	relay_give_up(&relay, &datagram);
	tunnel_wait_drops(&tunnel->gateway, DROP_REPLAY, 1);
	assert_true(is_quiet(&tunnel->gateway));
	relay.far_fd = before;
	tunnel_write_down(tunnel, 0, 2);
	assert_true(relay_take(&relay, relay.far_fd, TUNNEL_WAIT_MS, &datagram));
	assert_false(relay_take(&relay, elsewhere, 0, &datagram));
	close(elsewhere);
}

static void listens_on_what_it_is_told(void **state)
{
	struct endpoint two[2];
	struct error error = {0};

	(void)state;
	tunnel_renew(tunnel, 1, clock_ms());
	int taken = relay_open_socket("127.0.0.1:0");
	two[0] = tunnel->listening;
	two[1] = tunnel->listening;
	two[1].port = datagram_port(taken);
	// The new endpoint is somebody else's: the old one stays.
	assert_int_equal(dataplane_listen(tunnel->gateway.dataplane, &two[1], 1, &error),
			 -EADDRINUSE);
	assert_non_null(strstr(error.what, "cannot open UDP 127.0.0.1:"));
	tunnel_up(tunnel, 1);
	close(taken);
	assert_int_equal(dataplane_listen(tunnel->gateway.dataplane, two, 2, &error), 0);
	tunnel_up(tunnel, 2);
	assert_int_equal(dataplane_listen(tunnel->gateway.dataplane, &two[1], 1, &error), 0);
	tunnel_write_up(tunnel, 0, 3);
	assert_true(is_quiet(&tunnel->gateway));
	// The client finds it on the other one.
	struct datagram_peer peer = {.remote = two[1], .slot = DATAPLANE_DIAL_4};
	session_set_path(tunnel->client.session, &peer);
	tunnel_up(tunnel, 4);
	tunnel_down(tunnel, 5);
}

static void indices_are_unique_and_go(void **state)
{
	struct session *sessions[100];
	struct dataplane *dataplane = tunnel->gateway.dataplane;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(
			session_new(dataplane, false, "spiffe://a/b", NULL, 25, &sessions[i]), 0);
		assert_true(sessions[i]->index != 0);
		assert_ptr_equal(dataplane_find(dataplane, sessions[i]->index), sessions[i]);
		assert_null(
			dataplane_find(dataplane, sessions[i]->index ^ 1u << DATAPLANE_INDEX_BITS));
	}
	for (unsigned i = 0; i < 100; i++) {
		uint32_t index = sessions[i]->index;
		session_free(sessions[i]);
		assert_null(dataplane_find(dataplane, index));
	}
}

static void every_drop_has_a_name(void **state)
{
	(void)state;
	for (unsigned a = 0; a <= DROP_LAST; a++) {
		assert_non_null(drop_name((enum drop)a));
		for (unsigned b = 0; b < a; b++)
			assert_string_not_equal(drop_name((enum drop)a), drop_name((enum drop)b));
	}
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(carries_packets_both_ways),
		CASE(sends_only_what_has_a_route),
		CASE(a_session_speaks_for_its_own_addresses_only),
		CASE(strangers_get_no_answer),
		CASE(a_replay_changes_nothing),
		CASE(listens_on_what_it_is_told),
		CASE(indices_are_unique_and_go),
		cmocka_unit_test(every_drop_has_a_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
