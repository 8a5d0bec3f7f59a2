// SPDX-License-Identifier: Apache-2.0
// What goes in packet by packet must come out, cut again, as it was: each flow in its order.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <signal.h>
#include <unistd.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "tun/join.h"
#include "unit/packet_fixture.h"

#define FIN   0x01u
#define PSH   0x08u
#define ACK   0x10u
#define CWR   0x80u
#define FLOWS 4u
#define BATCH 200u

static bool refusing; // super-packets
ssize_t __wrap_write(int fd, const void *data, size_t size);
ssize_t __real_write(int fd, const void *data, size_t size);

ssize_t __wrap_write(int fd, const void *data, size_t size)
{
	if (refusing && size > VNET_HEADER && ((const uint8_t *)data)[1] != 0) {
		errno = EINVAL;
		return -1;
	}
	return __real_write(fd, data, size);
}

struct packet {
	bool partial, gone;
	unsigned flow;
	bool bare; // an acknowledgement and nothing else: it may overtake
	size_t size;
	uint8_t bytes[1500];
};

struct bench {
	struct join join;
	int out;
	struct packet in[BATCH];
	unsigned count;
	unsigned frames, largest; // that came out; packets in one
};

static struct bench *bench;
static uint8_t payload[2000];

static int setup(void **state)
{
	int pair[2], size = 8 << 20;
	(void)state;
	bench = calloc(1, sizeof(*bench));
	assert_non_null(bench);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	bench->out = pair[1];
	assert_int_equal(join_init(&bench->join, pair[0]), 0);
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	refusing = false;
	close(bench->join.fd);
	close(bench->out);
	join_done(&bench->join);
	free(bench);
	return 0;
}

static void come_out(const uint8_t *bytes, size_t size, bool partial)
{
	for (unsigned i = 0; i < bench->count; i++) {
		struct packet *packet = &bench->in[i];
		if (packet->gone)
			continue;
		bool same = packet->size == size && memcmp(packet->bytes, bytes, size) == 0;
		if (same) {
			assert_int_equal(packet->partial, partial);
			packet->gone = true;
			return;
		}
		// Only what may be overtaken, or belongs to another flow, may still wait before it.
		bool bare = size < 100 && bytes[0] >> 4 == 4 && bytes[9] == 6 && bytes[33] == ACK &&
			    size == 40;
		unsigned flow = bytes[15];
		assert_true(flow != packet->flow || bare);
	}
	fail_msg("a packet of %zu bytes came out that never went in", size);
}

// Reads what was written, cuts it, and finds each piece among what went in.
static void drain(void)
{
	static uint8_t frame[VNET_HEADER + PACKET_FIXTURE_MAX];
	ssize_t n;
	while ((n = read(bench->out, frame, sizeof(frame))) > 0) {
		struct cut cut;
		assert_int_equal(cut_begin(&cut, frame, (size_t)n - VNET_HEADER, 65535), DROP_NONE);
		bench->frames++;
		if (cut.count > bench->largest)
			bench->largest = cut.count;
		for (unsigned i = 0; i < cut.count; i++) {
			size_t size;
			const uint8_t *piece = cut_piece(&cut, i, &size);
			come_out(piece, size, cut.partial);
		}
	}
}

static void expect_all_out(void)
{
	join_flush(&bench->join);
	drain();
	for (unsigned i = 0; i < bench->count; i++)
		assert_true(bench->in[i].gone);
	bench->count = 0;
}

static void go_in(const struct packet_spec *spec, size_t payload_size)
{
	assert_true(bench->count < BATCH);
	struct packet *packet = &bench->in[bench->count++];
	*packet = (struct packet){.partial = spec->partial, .flow = spec->host};
	packet->size = packet_build(spec, payload, payload_size, packet->bytes);
	memcpy(join_place(&bench->join), packet->bytes, packet->size);
	assert_true(join_take(&bench->join, packet->size, packet->partial));
}

static struct packet_spec flow_of(unsigned number, bool udp)
{
	return (struct packet_spec){
		.ipv4 = true,
		.udp = udp,
		.partial = true,
		.ttl = 64,
		.id = (uint16_t)(number * 1000),
		.host = (uint8_t)(number + 1),
		.source = 5000,
		.destination = (uint16_t)(80 + number),
		.sequence = number * 1000000,
		.flags = ACK,
		.window = 500,
		.options = 12,
		.option = 1,
	};
}

// The next packet of the flow, and on.
static void stream(struct packet_spec *flow, unsigned count, size_t size)
{
	for (unsigned i = 0; i < count; i++) {
		go_in(flow, size);
		flow->sequence += (uint32_t)size;
		// Cutting counts up, and bare acknowledgements need not be where they were.
		if (size > 0)
			flow->id++;
	}
}

static void a_stream_becomes_one(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < 4; kind++) {
		struct packet_spec flow = flow_of(0, kind & 1);
		flow.ipv4 = kind & 2;
		stream(&flow, 40, 1300);
		unsigned before = bench->frames;
		expect_all_out();
		assert_int_equal(bench->frames, before + 1);
		assert_int_equal(bench->largest, 40);
	}
}

static void it_ends_where_it_is_full(void **state)
{
	struct packet_spec flow = flow_of(0, false);

	(void)state;
	stream(&flow, 100, 1400);
	expect_all_out();
	assert_int_equal(bench->largest, (65535 - 52) / 1400);
	assert_int_equal(bench->frames, 3);
	flow = flow_of(0, true);
	stream(&flow, 100, 10);
	expect_all_out();
	assert_int_equal(bench->frames, 5);
}

static void what_closes_a_group(void **state)
{
	struct packet_spec flow = flow_of(0, false);

	(void)state;
	stream(&flow, 3, 1000);
	stream(&flow, 1, 999); // a shorter one is the last
	stream(&flow, 2, 1000);
	flow.flags = ACK | PSH; // so is a push, which is kept
	stream(&flow, 1, 1000);
	flow.flags = ACK;
	stream(&flow, 2, 1000);
	stream(&flow, 1, 1001); // a longer one begins anew
	expect_all_out();
	assert_int_equal(bench->frames, 4);
}

static void what_is_not_of_a_piece(void **state)
{
	struct packet_spec flow = flow_of(0, false);

	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		stream(&flow, 2, 1000);
		switch (i) {
		case 0:
			flow.sequence++;
			break;
		case 1:
			flow.acknowledgement++;
			break;
		case 2:
			flow.window++;
			break;
		case 3:
			flow.urgent++;
			break;
		case 4:
			flow.option++;
			break;
		case 5:
			flow.options += 4;
			break;
		case 6:
			flow.tos ^= 2;
			break;
		case 7:
			flow.ttl--;
			break;
		case 8:
			flow.dont_fragment = true;
			break;
		case 9:
			flow.flags = ACK | FIN;
			break;
		case 10:
			flow.flags = ACK | CWR;
			break;
		case 11:
			flow.partial = false;
			break;
		}
		stream(&flow, 1, 1000);
		flow.flags = ACK;
		flow.partial = true;
		bench->largest = 0;
		expect_all_out();
		assert_int_equal(bench->largest, 2);
	}
}

// A link with a tag or two in its frames is 4 or 8 bytes off: whatever fits into it is joined all the same.
static void sizes_of_links_with_tags(void **state)
{
	static const size_t links[] = {1280, 1492, 1496, 1500, 1504, 1508};

	(void)state;
	for (unsigned i = 0; i < 6 * 2; i++) {
		struct packet_spec flow = flow_of(i, i % 2);
		if (flow.udp)
			flow.options = 0;
		size_t most = links[i / 2] - 60 - packet_headers(&flow);
		bench->largest = bench->frames = 0;
		stream(&flow, 3, most);
		stream(&flow, 1, most - 4);
		expect_all_out();
		assert_int_equal(bench->frames, 1);
		assert_int_equal(bench->largest, 4);
		// Four more, and they are of another link.
		stream(&flow, 1, most);
		stream(&flow, 1, most + 4);
		expect_all_out();
		assert_int_equal(bench->frames, 3);
	}
}

// A datagram with bytes behind it, within its IP packet: joined, they would become payload.
static void what_is_behind_a_datagram_is_not_joined(void **state)
{
	struct packet_spec flow = flow_of(0, true);
	uint8_t packet[2000];

	(void)state;
	flow.options = 0;
	stream(&flow, 2, 1000);
	size_t size = packet_build(&flow, payload, 1000, packet);
	put16(packet + 24, 1008 - 18);
	memcpy(join_place(&bench->join), packet, size);
	assert_false(join_take(&bench->join, size, true)); // nor can its checksum be completed
	stream(&flow, 2, 1000);
	expect_all_out();
	assert_int_equal(bench->frames, 1);
	assert_int_equal(bench->largest, 4);
}

static void bare_acknowledgements_and_strangers_overtake(void **state)
{
	struct packet_spec data = flow_of(0, false), ack = flow_of(0, false),
			   other = flow_of(1, false);

	(void)state;
	data.options = ack.options = 0;
	other.partial = false; // cannot begin a group
	for (unsigned i = 0; i < 10; i++) {
		stream(&data, 2, 1300);
		ack.sequence = data.sequence;
		go_in(&ack, 0);
		stream(&other, 1, 700);
	}
	expect_all_out();
	assert_int_equal(bench->largest, 20);
	assert_int_equal(bench->frames, 21);
}

static void what_is_undone_was_never_there(void **state)
{
	struct packet_spec flow = flow_of(0, false);

	(void)state;
	for (unsigned i = 0; i < 30; i++) {
		stream(&flow, 1, 1300);
		memset(join_place(&bench->join), 0xee, 1500);
		join_undo(&bench->join);
	}
	// Partial, and nobody knows where.
	memset(join_place(&bench->join), 0, 100);
	bench->join.place[0] = 0x60;
	assert_false(join_take(&bench->join, 100, true));
	expect_all_out();
	assert_int_equal(bench->frames, 1);
}

static void nothing_is_joined_where_that_is_off(void **state)
{
	struct packet_spec tcp = flow_of(0, false), udp = flow_of(1, true);

	(void)state;
	bench->join.tcp = bench->join.udp = false;
	stream(&tcp, 10, 1000);
	stream(&udp, 10, 1000);
	expect_all_out();
	assert_int_equal(bench->frames, 20);
}

static void a_kernel_that_refuses_gets_them_singly(void **state)
{
	struct packet_spec flow = flow_of(0, false);

	(void)state;
	refusing = true;
	stream(&flow, 20, 1300);
	expect_all_out();
	assert_true(bench->join.refused);
	assert_int_equal(bench->join.failed, 0);
	assert_int_equal(bench->frames, 20);
	stream(&flow, 20, 1300);
	expect_all_out();
	assert_int_equal(bench->frames, 40);
}

static void a_full_queue_is_counted(void **state)
{
	struct packet_spec flow = flow_of(0, false);

	(void)state;
	close(bench->out); // EPIPE, as a device that is down gives EIO
	bench->out = dup(bench->join.fd);
	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; i < 5; i++) {
		stream(&flow, 1, 1000);
		bench->count = 0;
	}
	join_flush(&bench->join);
	assert_int_equal(bench->join.failed, 5);
}

static void any_mixture(void **state)
{
	uint64_t seed = 99;

	(void)state;
	for (unsigned round = 0; round < 500; round++) {
		struct packet_spec flows[FLOWS];
		for (unsigned i = 0; i < FLOWS; i++) {
			flows[i] = flow_of(i, packet_random(&seed) % 4 == 0);
			flows[i].ipv4 = true;
			flows[i].options = 0;
		}
		unsigned current = 0;
		for (unsigned i = 0; i < BATCH - 2; i++) {
			uint32_t dice = packet_random(&seed);
			if (dice % 8 == 0)
				current = dice >> 8 & (FLOWS - 1);
			struct packet_spec *flow = &flows[current];
			flow->flags = ACK | (dice >> 10 & 15 ? 0 : dice >> 14 & (PSH | FIN));
			flow->partial = (dice >> 20 & 31) != 0;
			size_t size = dice >> 25 & 7 ? 1200 : dice >> 28 ? 300 : 0;
			stream(flow, 1, size);
			if ((dice >> 16 & 63) == 0)
				join_flush(&bench->join);
			if (i % 20 == 0)
				drain();
		}
		expect_all_out();
	}
	assert_true(bench->largest > 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_stream_becomes_one),
		TEST(it_ends_where_it_is_full),
		TEST(what_closes_a_group),
		TEST(what_is_not_of_a_piece),
		TEST(sizes_of_links_with_tags),
		TEST(what_is_behind_a_datagram_is_not_joined),
		TEST(bare_acknowledgements_and_strangers_overtake),
		TEST(what_is_undone_was_never_there),
		TEST(nothing_is_joined_where_that_is_off),
		TEST(a_kernel_that_refuses_gets_them_singly),
		TEST(a_full_queue_is_counted),
		TEST(any_mixture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
