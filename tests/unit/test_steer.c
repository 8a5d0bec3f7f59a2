// SPDX-License-Identifier: Apache-2.0
// The kernel's choice of queue and socket, against the hash in C: a real TUN interface in a network namespace of its own.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <cmocka.h>

#include "tun/cut.h"
#include "tun/datagram.h"
#include "tun/packet.h"
#include "tun/steer.h"
#include "unit/net_fixture.h"
#include "unit/packet_fixture.h"

#define QUEUES	  4u
#define FLOWS	  400u
#define WAIT_MS	  20000
#define FRAME_MAX 2000u

static int open_queue(void)
{
	struct ifreq request = {
		.ifr_name = "steer0",
		.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE,
	};
	int header = VNET_HEADER;
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
	assert_int_equal(ioctl(fd, TUNSETVNETHDRSZ, &header), 0);
	return fd;
}

// Whether it is what send_flow() sent, and not what the kernel has to say itself, of IPv6's groups for example.
static bool is_to_port(const uint8_t *packet, uint16_t port)
{
	bool ipv4 = packet[0] >> 4 == 4;
	size_t transport = ipv4 ? 20 : 40;
	return packet[ipv4 ? 9 : 6] == IPPROTO_UDP &&
	       (packet[transport + 2] << 8 | packet[transport + 3]) == port;
}

// One that was not there a moment ago is waited for.
static unsigned first_readable(const int *fds, int wait_ms)
{
	struct pollfd polled[QUEUES];
	for (unsigned i = 0; i < QUEUES; i++)
		polled[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
	assert_true(poll(polled, QUEUES, wait_ms) > 0);
	unsigned first = 0;
	while (!polled[first].revents)
		first++;
	return first;
}

// The queue by which the next packet to this port leaves, and the packet.
static unsigned next_packet(const int *queues, uint16_t port, uint8_t *frame, size_t *ret_size)
{
	for (;;) {
		unsigned queue = first_readable(queues, WAIT_MS);
		ssize_t n = read(queues[queue], frame, FRAME_MAX);
		assert_true(n > (ssize_t)VNET_HEADER);
		*ret_size = (size_t)n - VNET_HEADER;
		if (is_to_port(frame + VNET_HEADER, port))
			return queue;
	}
}

static void reverse(uint8_t *packet)
{
	uint8_t other[40];
	bool ipv4 = packet[0] >> 4 == 4;
	size_t at = ipv4 ? 12 : 8, size = ipv4 ? 4 : 16, transport = ipv4 ? 20 : 40;
	memcpy(other, packet + at + size, size);
	memcpy(other + size, packet + at, size);
	memcpy(packet + at, other, 2 * size);
	memcpy(other, packet + transport + 2, 2);
	memcpy(other + 2, packet + transport, 2);
	memcpy(packet + transport, other, 4);
}

// A flow of UDP from this host into the interface; returns the queue.
static unsigned send_flow(const int *queues, int fd, const char *to, uint16_t port)
{
	struct sockaddr_storage name;
	struct endpoint endpoint = {.port = port};
	uint8_t frame[FRAME_MAX] = {0};
	size_t size;
	assert_int_equal(addr_parse(to, &endpoint.addr), 0);
	socklen_t length = endpoint_to_sockaddr(&endpoint, endpoint.addr.family, &name);
	assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&name, length), 1);
	unsigned queue = next_packet(queues, port, frame, &size);
	uint8_t *packet = frame + VNET_HEADER;
	assert_int_equal(queue, steer_hash(packet, size) % QUEUES);
	uint32_t hash = steer_hash(packet, size);
	reverse(packet);
	assert_int_equal(steer_hash(packet, size), hash);
	return queue;
}

static void queues_are_chosen_by_flow(void **state)
{
	int queues[QUEUES];
	unsigned spread[QUEUES] = {0};

	(void)state;
	for (unsigned i = 0; i < QUEUES; i++)
		queues[i] = open_queue();
	// Before it is up: the kernel has something to say at once.
	assert_int_equal(steer_queues(queues[0]), 0);
	free(net_run(
		"ip link set steer0 addrgenmode none up; ip address add 10.1.0.1/16 dev steer0; "
		"ip address add fd01::1/64 dev steer0 nodad"));
	int v4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int v6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(v4 >= 0 && v6 >= 0);
	for (unsigned i = 0; i < FLOWS; i++) {
		char to[ADDR_TEXT_MAX];
		snprintf(to, sizeof(to), "10.1.%u.%u", i / 200, 2 + i % 200);
		spread[send_flow(queues, v4, to, (uint16_t)(1000 + i))]++;
		snprintf(to, sizeof(to), "fd01::%x", 2 + i);
		spread[send_flow(queues, v6, to, (uint16_t)(1000 + i))]++;
	}
	for (unsigned i = 0; i < QUEUES; i++)
		assert_in_range(spread[i], 2 * FLOWS / QUEUES / 2, 2 * FLOWS / QUEUES * 2);
	close(v4);
	close(v6);
	for (unsigned i = 0; i < QUEUES; i++)
		close(queues[i]);
}

static void of_fragments_only_addresses_count(void **state)
{
	struct packet_spec spec = {.ipv4 = true, .udp = true, .source = 5, .destination = 6};
	uint8_t packet[200], payload[100] = {0};

	(void)state;
	size_t size = packet_build(&spec, payload, sizeof(payload), packet);
	uint32_t whole = steer_hash(packet, size);
	packet[6] = 0x20;
	uint32_t first = steer_hash(packet, size);
	packet[6] = 0;
	packet[7] = 5;
	assert_int_equal(steer_hash(packet, size), first);
	assert_true(whole != first);
}

static void sockets_are_chosen_by_lane(void **state)
{
	struct endpoint endpoint;
	int fds[QUEUES];
	uint8_t bytes[20] = {PACKET_DATA};

	(void)state;
	assert_int_equal(endpoint_parse("127.0.0.1:7777", &endpoint), 0);
	for (unsigned i = 0; i < QUEUES; i++) {
		fds[i] = datagram_open(&endpoint, true, 0);
		assert_true(fds[i] >= 0);
	}
	assert_int_equal(steer_sockets(fds[0], QUEUES), 0);
	struct sockaddr_storage name;
	socklen_t length = endpoint_to_sockaddr(&endpoint, AF_INET, &name);
	int from = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	for (unsigned lane = 0; lane < PACKET_LANES_MAX; lane++) {
		bytes[offsetof(struct packet_header, lane)] = (uint8_t)lane;
		size_t size = lane == 7 ? 2 : sizeof(bytes); // one is too short for a lane
		unsigned expected = lane == 7 ? 0 : lane % QUEUES;
		assert_int_equal(sendto(from, bytes, size, 0, (struct sockaddr *)&name, length),
				 size);
		uint8_t got[20];
		assert_int_equal(first_readable(fds, WAIT_MS), expected);
		for (unsigned i = 0; i < QUEUES; i++) {
			ssize_t n = recv(fds[i], got, sizeof(got), MSG_DONTWAIT);
			assert_int_equal(n, i == expected ? (ssize_t)size : -1);
		}
	}
	close(from);
	for (unsigned i = 0; i < QUEUES; i++)
		close(fds[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(queues_are_chosen_by_flow, net_setup, net_teardown),
		cmocka_unit_test(of_fragments_only_addresses_count),
		cmocka_unit_test_setup_teardown(sockets_are_chosen_by_lane, net_setup,
						net_teardown),
	};
	if (!net_possible())
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
