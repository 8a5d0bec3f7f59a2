// SPDX-License-Identifier: Apache-2.0
// Packets between two data planes with two workers each. Between them stands, where the test wants it, a relay that the test
// itself is: it loses, repeats, damages, and lets the client appear from elsewhere.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <poll.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "tun/datagram.h"
#include "unit/tunnel_fixture.h"

#define WORKERS	  2u
#define FLOOD	  64u
#define DATAGRAM  (PACKET_OVERHEAD + TUNNEL_PACKET)
#define RELAY_MAX 16u

struct datagram {
	size_t size;
	uint8_t bytes[2048];
};

static struct tunnel *tunnel;
static int near_fd; // the relay's socket towards the client
static int far_fd;  // and towards the gateway
static struct sockaddr_storage client_name;

static int set_up(void **state)
{
	(void)state;
	tunnel = tunnel_new(WORKERS);
	near_fd = far_fd = -1;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tunnel = tunnel_free(tunnel);
	closep(&near_fd);
	closep(&far_fd);
	return 0;
}

static int open_socket(const char *text)
{
	struct endpoint endpoint;
	assert_int_equal(endpoint_parse(text, &endpoint), 0);
	int fd = datagram_open(&endpoint, false, 0);
	assert_true(fd >= 0);
	return fd;
}

// From now on the client's datagrams come to the relay, which reaches the gateway from `far`.
static void relay_begin(const char *far)
{
	struct datagram_peer peer = {.slot = DATAPLANE_DIAL_4};
	near_fd = open_socket("127.0.0.1:0");
	far_fd = open_socket(far);
	assert_int_equal(addr_parse("127.0.0.1", &peer.remote.addr), 0);
	peer.remote.port = datagram_port(near_fd);
	session_set_path(tunnel->client.session, &peer);
}

static bool relay_take(int fd, int wait_ms, struct datagram *ret)
{
	struct sockaddr_storage from;
	socklen_t size = sizeof(from);
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	if (poll(&poll_fd, 1, wait_ms) != 1)
		return false;
	ssize_t n =
		recvfrom(fd, ret->bytes, sizeof(ret->bytes), 0, (struct sockaddr *)&from, &size);
	assert_true(n > 0);
	ret->size = (size_t)n;
	if (fd == near_fd)
		client_name = from;
	return true;
}

static void relay_give(int fd, const struct datagram *datagram)
{
	struct sockaddr_storage gateway;
	socklen_t size = endpoint_to_sockaddr(&tunnel->listening, AF_INET, &gateway);
	const struct sockaddr_storage *to = fd == far_fd ? &gateway : &client_name;
	assert_int_equal(
		sendto(fd, datagram->bytes, datagram->size, 0, (const struct sockaddr *)to, size),
		datagram->size);
}

static void write_up(uint32_t number)
{
	uint8_t packet[TUNNEL_PACKET];
	tunnel_make_packet(packet, TUNNEL_CLIENT, TUNNEL_GATEWAY, number);
	tunnel_write(&tunnel->client, 0, packet, sizeof(packet));
}

static void write_down(uint32_t number)
{
	uint8_t packet[TUNNEL_PACKET];
	tunnel_make_packet(packet, TUNNEL_GATEWAY, TUNNEL_CLIENT, number);
	tunnel_write(&tunnel->gateway, 0, packet, sizeof(packet));
}

static uint32_t number_of(const uint8_t *packet)
{
	uint32_t number;
	memcpy(&number, packet + TUNNEL_PACKET - sizeof(number), sizeof(number));
	return number;
}

static bool arrives(struct tunnel_end *end, uint32_t number)
{
	uint8_t packet[TUNNEL_MTU];
	return tunnel_read(end, TUNNEL_WAIT_MS, packet) == TUNNEL_PACKET &&
	       number_of(packet) == number;
}

static bool is_quiet(struct tunnel_end *end)
{
	uint8_t packet[TUNNEL_MTU];
	return tunnel_read(end, TUNNEL_QUIET_MS, packet) == 0;
}

// A datagram of the client with an inner packet, not one of its link messages.
static void catch_up(uint32_t number, struct datagram *ret)
{
	write_up(number);
	ret->size = 0;
	while (ret->size != DATAGRAM)
		assert_true(relay_take(near_fd, TUNNEL_WAIT_MS, ret));
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
		uint32_t number = number_of(packet);
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

	(void)state;
	tunnel_renew(tunnel, 1, clock_ms());
	tunnel_make_packet(packet, "10.90.0.3", TUNNEL_GATEWAY, 1);
	tunnel_write(&tunnel->client, 0, packet, TUNNEL_PACKET);
	tunnel_wait_drops(&tunnel->gateway, DROP_SOURCE, 1);
	tunnel_make_packet(packet, TUNNEL_GATEWAY, TUNNEL_GATEWAY, 1);
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
	relay_begin("127.0.0.1:0");
	catch_up(1, &datagram);
	struct datagram damaged = datagram;
	damaged.bytes[DATAGRAM - 1] ^= 1;
	relay_give(far_fd, &damaged);
	tunnel_wait_drops(&tunnel->gateway, DROP_TAG, 1);
	damaged = datagram;
	damaged.bytes[4] ^= 1; // receiver index
	relay_give(far_fd, &damaged);
	wait_stranger_drops(&tunnel->gateway, DROP_INDEX, 1);
	damaged.bytes[0] = 2;
	relay_give(far_fd, &damaged);
	wait_stranger_drops(&tunnel->gateway, DROP_TYPE, 1);
	damaged.size = PACKET_OVERHEAD - 1;
	relay_give(far_fd, &damaged);
	wait_stranger_drops(&tunnel->gateway, DROP_SHORT, 1);
	damaged = datagram;
	damaged.bytes[2] = WORKERS;
	relay_give(far_fd, &damaged);
	tunnel_wait_drops(&tunnel->gateway, DROP_LANE, 1);
	assert_true(is_quiet(&tunnel->gateway));
	assert_false(relay_take(far_fd, 0, &nothing));
	// Nothing of this has used up the counter.
	relay_give(far_fd, &datagram);
	assert_true(arrives(&tunnel->gateway, 1));
}

static void a_replay_changes_nothing(void **state)
{
	struct datagram datagram;

	(void)state;
	tunnel_renew(tunnel, 1, clock_ms());
	relay_begin("127.0.0.1:0");
	catch_up(1, &datagram);
	relay_give(far_fd, &datagram);
	assert_true(arrives(&tunnel->gateway, 1));
	// From another address, too: else whoever copies a packet could lead the tunnel away.
	int elsewhere = open_socket("127.0.0.66:0");
	int relay = far_fd;
	far_fd = elsewhere;
	relay_give(far_fd, &datagram);
	tunnel_wait_drops(&tunnel->gateway, DROP_REPLAY, 1);
	assert_true(is_quiet(&tunnel->gateway));
	far_fd = relay;
	write_down(2);
	assert_true(relay_take(far_fd, TUNNEL_WAIT_MS, &datagram));
	assert_false(relay_take(elsewhere, 0, &datagram));
	close(elsewhere);
}

static void late_packets_arrive_but_lead_nowhere(void **state)
{
	struct datagram first, second, nothing;

	(void)state;
	tunnel_renew(tunnel, 1, clock_ms());
	relay_begin("127.0.0.1:0");
	catch_up(1, &first);
	catch_up(2, &second);
	relay_give(far_fd, &second);
	assert_true(arrives(&tunnel->gateway, 2));
	int relay = far_fd;
	far_fd = open_socket("127.0.0.66:0");
	relay_give(far_fd, &first);
	assert_true(arrives(&tunnel->gateway, 1));
	write_down(3);
	assert_true(relay_take(relay, TUNNEL_WAIT_MS, &nothing));
	assert_false(relay_take(far_fd, 0, &nothing));
	close(relay);
}

// Carries what waits, both ways, until all is quiet.
static void relay_settle(void)
{
	struct datagram datagram;
	bool moved = true;
	while (moved) {
		moved = false;
		while (relay_take(far_fd, 20, &datagram)) {
			relay_give(near_fd, &datagram);
			moved = true;
		}
		while (relay_take(near_fd, 20, &datagram)) {
			relay_give(far_fd, &datagram);
			moved = true;
		}
	}
}

static void a_client_that_moves_is_followed(void **state)
{
	struct datagram datagram;

	(void)state;
	tunnel_renew(tunnel, 1, clock_ms());
	relay_begin("127.0.0.1:0");
	for (uint32_t i = 1; i <= RELAY_MAX; i++) {
		close(far_fd);
		far_fd = open_socket("127.0.0.1:0"); // as a NAT does
		catch_up(i, &datagram);
		relay_give(far_fd, &datagram);
		assert_true(arrives(&tunnel->gateway, i));
		write_down(i);
		assert_true(relay_take(far_fd, TUNNEL_WAIT_MS, &datagram));
		relay_give(near_fd, &datagram);
		assert_true(arrives(&tunnel->client, i));
	}
	// The many ports reached both workers of the gateway; what the other one owns was handed over.
	assert_int_equal(tunnel_drops(&tunnel->gateway, DROP_QUEUE), 0);
	dataplane_collect(tunnel->gateway.dataplane);
}

static void an_unknown_address_must_answer_first(void **state)
{
	struct datagram datagram;
	size_t in = 0, out = 0;

	(void)state;
	tunnel_renew(tunnel, 1, clock_ms());
	relay_begin("127.0.0.66:0");
	catch_up(1, &datagram);
	in += datagram.size;
	relay_give(far_fd, &datagram);
	assert_true(arrives(&tunnel->gateway, 1));
	// The probe, and a few times what came from there; no more.
	for (uint32_t i = 0; i < 10; i++)
		write_down(i);
	tunnel_wait_drops(&tunnel->gateway, DROP_PATH, 10 - UNCONFIRMED_FACTOR);
	bool probed = false;
	struct datagram probe = {0};
	while (relay_take(far_fd, TUNNEL_QUIET_MS, &datagram)) {
		bool is_probe = datagram.size == PACKET_OVERHEAD + sizeof(struct link_message);
		if (is_probe)
			probe = datagram;
		else
			out += datagram.size;
		probed |= is_probe;
	}
	assert_true(probed);
	assert_int_equal(out, UNCONFIRMED_FACTOR * in);
	// Once the client has answered from there, the address is as good as any.
	relay_give(near_fd, &probe);
	relay_settle();
	uint64_t dropped = tunnel_drops(&tunnel->gateway, DROP_PATH);
	for (uint32_t i = 0; i < 10; i++)
		write_down(i);
	for (uint32_t i = 0; i < 10; i++)
		assert_true(relay_take(far_fd, TUNNEL_WAIT_MS, &datagram));
	assert_int_equal(tunnel_drops(&tunnel->gateway, DROP_PATH), dropped);
}

static void listens_on_what_it_is_told(void **state)
{
	struct endpoint two[2];
	struct error error = {0};

	(void)state;
	tunnel_renew(tunnel, 1, clock_ms());
	int taken = open_socket("127.0.0.1:0");
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
	write_up(3);
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
		CASE(late_packets_arrive_but_lead_nowhere),
		CASE(a_client_that_moves_is_followed),
		CASE(an_unknown_address_must_answer_first),
		CASE(listens_on_what_it_is_told),
		CASE(indices_are_unique_and_go),
		cmocka_unit_test(every_drop_has_a_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
