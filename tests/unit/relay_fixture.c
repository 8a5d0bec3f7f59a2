// SPDX-License-Identifier: Apache-2.0

#include "unit/relay_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <poll.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "tun/datagram.h"

void relay_init(struct relay *relay, struct tunnel *tunnel)
{
	*relay = (struct relay){.tunnel = tunnel, .near_fd = -1, .far_fd = -1};
}

void relay_done(struct relay *relay)
{
	closep(&relay->near_fd);
	closep(&relay->far_fd);
}

int relay_open_socket(const char *text)
{
	struct endpoint endpoint;
	assert_int_equal(endpoint_parse(text, &endpoint), 0);
	int fd = datagram_open(&endpoint, false, 0);
	assert_true(fd >= 0);
	return fd;
}

void relay_begin(struct relay *relay, const char *far)
{
	struct datagram_peer peer = {.slot = DATAPLANE_DIAL_4};
	relay->near_fd = relay_open_socket("127.0.0.1:0");
	relay->far_fd = relay_open_socket(far);
	assert_int_equal(addr_parse("127.0.0.1", &peer.remote.addr), 0);
	peer.remote.port = datagram_port(relay->near_fd);
	session_set_path(relay->tunnel->client.session, &peer);
}

bool relay_take(struct relay *relay, int fd, int wait_ms, struct datagram *ret)
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
	if (fd == relay->near_fd)
		relay->client = from;
	return true;
}

static void give(int fd, const struct sockaddr_storage *to, const struct datagram *datagram)
{
	assert_int_equal(sendto(fd, datagram->bytes, datagram->size, 0, (const struct sockaddr *)to,
				sizeof(struct sockaddr_in)),
			 datagram->size);
}

void relay_give_up(const struct relay *relay, const struct datagram *datagram)
{
	struct sockaddr_storage gateway;
	endpoint_to_sockaddr(&relay->tunnel->listening, AF_INET, &gateway);
	give(relay->far_fd, &gateway, datagram);
}

void relay_give_down(const struct relay *relay, const struct datagram *datagram)
{
	give(relay->near_fd, &relay->client, datagram);
}

void relay_catch_up(struct relay *relay, unsigned queue, uint32_t number, struct datagram *ret)
{
	tunnel_write_up(relay->tunnel, queue, number);
	ret->size = 0;
	while (ret->size != RELAY_DATAGRAM)
		assert_true(relay_take(relay, relay->near_fd, TUNNEL_WAIT_MS, ret));
}

void relay_settle(struct relay *relay)
{
	struct datagram datagram;
	bool moved = true;
	while (moved) {
		moved = false;
		while (relay_take(relay, relay->far_fd, 20, &datagram)) {
			relay_give_down(relay, &datagram);
			moved = true;
		}
		while (relay_take(relay, relay->near_fd, 20, &datagram)) {
			relay_give_up(relay, &datagram);
			moved = true;
		}
	}
}
