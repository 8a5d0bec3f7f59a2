// SPDX-License-Identifier: Apache-2.0

#include "unit/tunnel_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tun/datagram.h"
#include "tun/host.h"
#include "tun/worker.h"
#include "unit/context_fixture.h"

// In place of the one of tun/host.c.
struct host {
	unsigned queues;
	int inside[HOST_QUEUES_MAX];
	int outside[HOST_QUEUES_MAX];
};

int host_queue(const struct host *host, unsigned queue)
{
	return host->inside[queue];
}

static struct host *host_new_pairs(unsigned queues)
{
	struct host *host = calloc(1, sizeof(*host));
	assert_non_null(host);
	host->queues = queues;
	for (unsigned i = 0; i < queues; i++) {
		int pair[2];
		assert_int_equal(
			socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
			0);
		host->inside[i] = pair[0];
		host->outside[i] = pair[1];
	}
	return host;
}

static void host_close_pairs(struct host *host)
{
	for (unsigned i = 0; i < host->queues; i++) {
		close(host->inside[i]);
		close(host->outside[i]);
	}
	free(host);
}

static void add_route(struct tunnel_end *end, const char *text)
{
	struct prefix prefix;
	assert_int_equal(prefix_parse(text, &prefix), 0);
	assert_int_equal(routes_add(dataplane_routes(end->dataplane), &prefix, 1, end->session), 0);
}

static void end_init(struct tunnel *tunnel, struct tunnel_end *end, bool client)
{
	enum tls_role role = client ? TLS_CLIENT : TLS_SERVER;
	struct fixture *leaf = fixture_leaf(tunnel->root, client ? FIXTURE_ALICE : FIXTURE_GATEWAY);
	struct dataplane_options options = {
		.workers = tunnel->workers,
		.mtu = TUNNEL_MTU,
		.offloads = OFFLOAD_ALL,
	};
	end->context = fixture_context(role, leaf, tunnel->root);
	assert_non_null(end->context);
	fixture_free(leaf);
	end->host = host_new_pairs(tunnel->workers);
	options.host = end->host;
	assert_int_equal(dataplane_new(&options, &end->dataplane, NULL), 0);
}

static void make_sessions(struct tunnel *tunnel)
{
	struct tunnel_end *client = &tunnel->client;
	struct tunnel_end *gateway = &tunnel->gateway;
	assert_int_equal(
		session_new(gateway->dataplane, false, FIXTURE_ALICE, NULL, 25, &gateway->session),
		0);
	assert_int_equal(session_new(client->dataplane, true, FIXTURE_GATEWAY, gateway->session->id,
				     25, &client->session),
			 0);
	add_route(client, TUNNEL_GATEWAY "/32");
	add_route(client, TUNNEL_GATEWAY_6 "/128");
	add_route(gateway, TUNNEL_CLIENT "/32");
	add_route(gateway, TUNNEL_CLIENT_6 "/128");
}

static void listen_somewhere(struct tunnel *tunnel)
{
	assert_int_equal(endpoint_parse("127.0.0.1:0", &tunnel->listening), 0);
	int fd = datagram_open(&tunnel->listening, false, 0);
	assert_true(fd >= 0);
	tunnel->listening.port = datagram_port(fd);
	close(fd);
	assert_int_equal(dataplane_listen(tunnel->gateway.dataplane, &tunnel->listening, 1, NULL),
			 0);
}

struct tunnel *tunnel_new(unsigned workers)
{
	struct tunnel *tunnel = calloc(1, sizeof(*tunnel));
	assert_non_null(tunnel);
	tunnel->workers = workers;
	tunnel->root = fixture_root("root");
	end_init(tunnel, &tunnel->client, true);
	end_init(tunnel, &tunnel->gateway, false);
	listen_somewhere(tunnel);
	make_sessions(tunnel);
	return tunnel;
}

static void end_done(struct tunnel_end *end)
{
	session_free(end->session);
	dataplane_free(end->dataplane);
	host_close_pairs(end->host);
	tls_context_put(end->context);
}

struct tunnel *tunnel_free(struct tunnel *tunnel)
{
	channel_free(tunnel->client_channel);
	channel_free(tunnel->gateway_channel);
	end_done(&tunnel->client);
	end_done(&tunnel->gateway);
	fixture_free(tunnel->root);
	free(tunnel);
	return NULL;
}

// Whether the channel is open after all that it can do now.
static bool step(struct channel *channel)
{
	struct channel_event event;
	bool open = false;
	for (channel_next(channel, &event); event.type != CHANNEL_NONE;
	     channel_next(channel, &event)) {
		assert_int_equal(event.type, CHANNEL_OPEN);
		open = true;
	}
	return open;
}

static bool carry(struct channel *from, struct channel *to)
{
	size_t size;
	const uint8_t *data = channel_output(from, &size);
	if (size == 0)
		return false;
	channel_feed(to, data, size);
	channel_output_done(from, size);
	return true;
}

void tunnel_dial(struct tunnel *tunnel)
{
	struct channel *client, *gateway;
	unsigned open = 0;
	bool moved = true;
	client = channel_new(tunnel->client.context, TLS_CLIENT, FIXTURE_GATEWAY, clock_ms());
	gateway = channel_new(tunnel->gateway.context, TLS_SERVER, NULL, clock_ms());
	assert_true(client && gateway);
	step(client);
	while (moved) {
		moved = carry(client, gateway);
		open += step(gateway);
		moved |= carry(gateway, client);
		open += step(client);
	}
	assert_int_equal(open, 2);
	channel_free(tunnel->client_channel);
	channel_free(tunnel->gateway_channel);
	tunnel->client_channel = client;
	tunnel->gateway_channel = gateway;
}

void tunnel_install(struct tunnel *tunnel, struct tunnel_end *end, uint32_t epoch, uint64_t now_ms)
{
	bool client = end == &tunnel->client;
	const struct tunnel_end *other = client ? &tunnel->gateway : &tunnel->client;
	struct datagram_peer peer = {.remote = tunnel->listening, .slot = DATAPLANE_DIAL_4};
	struct session_keys keys = {
		.epoch = epoch,
		.cipher = epoch % 2 ? CIPHER_AES_256_GCM : CIPHER_CHACHA20_POLY1305,
		.remote_index = other->session->index,
		.peer_lanes = tunnel->workers,
		.mtu = TUNNEL_MTU,
		.reason = "a test",
	};
	bool first = session_newest_epoch(end->session) == 0;
	assert_int_equal(session_install(end->session,
					 client ? tunnel->client_channel : tunnel->gateway_channel,
					 &keys, now_ms),
			 0);
	if (client && first)
		session_set_path(end->session, &peer);
	if (!client)
		session_set_known_address(end->session, &tunnel->listening.addr);
}

void tunnel_renew(struct tunnel *tunnel, uint32_t epoch, uint64_t now_ms)
{
	tunnel_dial(tunnel);
	tunnel_install(tunnel, &tunnel->gateway, epoch, now_ms);
	tunnel_install(tunnel, &tunnel->client, epoch, now_ms);
	tunnel_up(tunnel, epoch);
	tunnel_down(tunnel, epoch);
}

void tunnel_make_packet(uint8_t *packet, const char *source, const char *destination,
			uint32_t number)
{
	struct addr from, to;
	memset(packet, 0, TUNNEL_PACKET);
	assert_int_equal(addr_parse(source, &from), 0);
	assert_int_equal(addr_parse(destination, &to), 0);
	size_t size = ADDR_BYTES(&from);
	bool ipv4 = from.family == AF_INET;
	packet[0] = ipv4 ? 0x45 : 0x60;
	packet[ipv4 ? 3 : 5] = ipv4 ? TUNNEL_PACKET : TUNNEL_PACKET - 40;
	packet[ipv4 ? 9 : 6] = 253; // for experiments (RFC 3692)
	memcpy(packet + (ipv4 ? 12 : 8), from.bytes, size);
	memcpy(packet + (ipv4 ? 12 : 8) + size, to.bytes, size);
	memcpy(packet + TUNNEL_PACKET - sizeof(number), &number, sizeof(number));
}

void tunnel_write(struct tunnel_end *end, unsigned queue, const uint8_t *packet, size_t size)
{
	uint8_t frame[VNET_HEADER + 2 * TUNNEL_MTU] = {0};
	struct pollfd room = {.fd = end->host->outside[queue], .events = POLLOUT};
	assert_true(size <= sizeof(frame) - VNET_HEADER);
	memcpy(frame + VNET_HEADER, packet, size);
	size += VNET_HEADER;
	// Its worker may not have come to read for a while.
	assert_int_equal(poll(&room, 1, TUNNEL_WAIT_MS), 1);
	assert_int_equal(write(end->host->outside[queue], frame, size), size);
}

size_t tunnel_read(struct tunnel_end *end, int wait_ms, uint8_t packet[TUNNEL_MTU])
{
	uint8_t frame[VNET_HEADER + TUNNEL_MTU];
	static const uint8_t zero[VNET_HEADER];
	struct pollfd fds[HOST_QUEUES_MAX];
	for (unsigned i = 0; i < end->host->queues; i++)
		fds[i] = (struct pollfd){.fd = end->host->outside[i], .events = POLLIN};
	if (poll(fds, end->host->queues, wait_ms) <= 0)
		return 0;
	for (unsigned i = 0; i < end->host->queues; i++) {
		if (!fds[i].revents)
			continue;
		ssize_t n = read(fds[i].fd, frame, sizeof(frame));
		assert_true(n > (ssize_t)VNET_HEADER);
		assert_memory_equal(frame, zero, VNET_HEADER);
		memcpy(packet, frame + VNET_HEADER, (size_t)n - VNET_HEADER);
		return (size_t)n - VNET_HEADER;
	}
	return 0;
}

void tunnel_write_up(struct tunnel *tunnel, unsigned queue, uint32_t number)
{
	uint8_t packet[TUNNEL_PACKET];
	tunnel_make_packet(packet, TUNNEL_CLIENT, TUNNEL_GATEWAY, number);
	tunnel_write(&tunnel->client, queue, packet, sizeof(packet));
}

void tunnel_write_down(struct tunnel *tunnel, unsigned queue, uint32_t number)
{
	uint8_t packet[TUNNEL_PACKET];
	tunnel_make_packet(packet, TUNNEL_GATEWAY, TUNNEL_CLIENT, number);
	tunnel_write(&tunnel->gateway, queue, packet, sizeof(packet));
}

uint32_t tunnel_number(const uint8_t *packet)
{
	uint32_t number;
	memcpy(&number, packet + TUNNEL_PACKET - sizeof(number), sizeof(number));
	return number;
}

bool tunnel_arrives(struct tunnel_end *end, uint32_t number)
{
	uint8_t packet[TUNNEL_MTU];
	return tunnel_read(end, TUNNEL_WAIT_MS, packet) == TUNNEL_PACKET &&
	       tunnel_number(packet) == number;
}

static void pass(struct tunnel_end *from, struct tunnel_end *to, const uint8_t *packet)
{
	uint8_t arrived[TUNNEL_MTU];
	tunnel_write(from, 0, packet, TUNNEL_PACKET);
	assert_int_equal(tunnel_read(to, TUNNEL_WAIT_MS, arrived), TUNNEL_PACKET);
	assert_memory_equal(arrived, packet, TUNNEL_PACKET);
}

void tunnel_up(struct tunnel *tunnel, uint32_t number)
{
	uint8_t packet[TUNNEL_PACKET];
	tunnel_make_packet(packet, TUNNEL_CLIENT, TUNNEL_GATEWAY, number);
	pass(&tunnel->client, &tunnel->gateway, packet);
}

void tunnel_down(struct tunnel *tunnel, uint32_t number)
{
	uint8_t packet[TUNNEL_PACKET];
	tunnel_make_packet(packet, TUNNEL_GATEWAY_6, TUNNEL_CLIENT_6, number);
	pass(&tunnel->gateway, &tunnel->client, packet);
}

uint32_t tunnel_epoch(const struct tunnel_end *end)
{
	struct session_status status;
	session_status(end->session, &status);
	return status.epoch;
}

uint64_t tunnel_drops(const struct tunnel_end *end, enum drop drop)
{
	return atomic_load(&end->session->drops[drop]);
}

void tunnel_wait_drops(const struct tunnel_end *end, enum drop drop, uint64_t count)
{
	for (int i = 0; i < TUNNEL_WAIT_MS && tunnel_drops(end, drop) < count; i++)
		usleep(1000);
	assert_int_equal(tunnel_drops(end, drop), count);
}
