// SPDX-License-Identifier: Apache-2.0
// Packets with right checksums, computed anew by the test, must have right checksums afterwards.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <cmocka.h>

#include "tun/inner.h"
#include "tun/translate.h"
#include "tun/transport.h"

#define SIZE_MAX_TEST 300u

static struct translations *table;

static struct prefix prefix(const char *text)
{
	struct prefix value;
	assert_int_equal(prefix_parse(text, &value), 0);
	return value;
}

static int set_up(void **state)
{
	struct translation list[] = {
		{prefix("192.168.1.0/24"), prefix("10.201.1.0/24")},
		{prefix("172.16.0.0/13"), prefix("10.8.0.0/13")},
		{prefix("fd00:1::/48"), prefix("fd99:77:5::/48")},
		{prefix("fd00:2:0:8000::/51"), prefix("fd99:78:5:4000::/51")},
	};
	(void)state;
	table = translations_new(list, 4);
	return table ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	free(table);
	return 0;
}

struct packet {
	uint8_t data[SIZE_MAX_TEST];
	size_t size;
};

static size_t header_of(const uint8_t *data)
{
	return data[0] >> 4 == 4 ? (data[0] & 15) * 4u : 40u;
}

static uint8_t protocol_of(const uint8_t *data)
{
	return data[0] >> 4 == 4 ? data[9] : data[6];
}

static uint16_t pseudo(const uint8_t *data, size_t length)
{
	uint8_t rest[4] = {0, protocol_of(data), (uint8_t)(length >> 8), (uint8_t)length};
	uint16_t total =
		data[0] >> 4 == 4 ? checksum_add(0, data + 12, 8) : checksum_add(0, data + 8, 32);
	return checksum_add(total, rest, 4);
}

static size_t check_of(const uint8_t *data)
{
	switch (protocol_of(data)) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
		return 6;
	default:
		return 2;
	}
}

static uint16_t transport_sum(const uint8_t *data, size_t size)
{
	size_t header = header_of(data);
	uint16_t start = protocol_of(data) == IPPROTO_ICMP ? 0 : pseudo(data, size - header);
	return checksum_add(start, data + header, size - header);
}

// All checksums, or with `partial` the transport's as it is across the tunnel.
static void seal(uint8_t *data, size_t size, bool partial)
{
	size_t header = header_of(data);
	uint8_t *check = data + header + check_of(data);
	if (data[0] >> 4 == 4) {
		put16(data + 10, 0);
		put16(data + 10, (uint16_t)~checksum_add(0, data, header));
	}
	put16(check, 0);
	put16(check, partial ? pseudo(data, size - header) : (uint16_t)~transport_sum(data, size));
	if (protocol_of(data) == IPPROTO_UDP && get16(check) == 0 && !partial)
		put16(check, 0xffff);
}

static void assert_sealed(const uint8_t *data, size_t size, bool partial)
{
	size_t header = header_of(data);
	if (data[0] >> 4 == 4)
		assert_int_equal(checksum_add(0, data, header), 0xffff);
	if (partial)
		assert_int_equal(get16(data + header + check_of(data)) % 0xffff,
				 pseudo(data, size - header) % 0xffff);
	else
		assert_int_equal(transport_sum(data, size), 0xffff);
}

static void put_addr(uint8_t *at, const char *text)
{
	struct addr addr;
	assert_int_equal(addr_parse(text, &addr), 0);
	memcpy(at, addr.bytes, ADDR_BYTES(&addr));
}

// Bytes of payload are random.
static struct packet build(const char *from, const char *to, uint8_t protocol, size_t payload,
			   bool partial)
{
	bool ipv4 = !strchr(from, ':');
	size_t header = ipv4 ? 20 : 40;
	struct packet packet = {.size = header + (protocol == IPPROTO_TCP ? 20 : 8) + payload};
	uint8_t *data = packet.data;
	for (size_t i = 0; i < packet.size; i++)
		data[i] = (uint8_t)rand();
	memset(data, 0, header);
	data[0] = ipv4 ? 0x45 : 0x60;
	data[ipv4 ? 8 : 7] = 64;
	data[ipv4 ? 9 : 6] = protocol;
	put16(data + (ipv4 ? 2 : 4), ipv4 ? packet.size : packet.size - header);
	put_addr(data + (ipv4 ? 12 : 8), from);
	put_addr(data + (ipv4 ? 16 : 24), to);
	if (protocol == IPPROTO_TCP) {
		data[header + 12] = 0x50;
		data[header + 13] = TCP_ACK;
	} else if (protocol == IPPROTO_UDP) {
		put16(data + header + 4, packet.size - header);
	} else {
		data[header] = ipv4 ? 8 : 128;
		data[header + 1] = 0;
	}
	seal(data, packet.size, partial);
	return packet;
}

// An error about `about`, as its receiver's router says it.
static struct packet build_error(const char *from, const char *to, const struct packet *about,
				 size_t quoted)
{
	bool ipv4 = !strchr(from, ':');
	struct packet packet = build(from, to, ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, quoted, false);
	uint8_t *icmp = packet.data + (ipv4 ? 20 : 40);
	memset(icmp, 0, 8);
	icmp[0] = ipv4 ? 3 : 1;
	icmp[1] = ipv4 ? 3 : 4;
	memcpy(icmp + 8, about->data, quoted);
	seal(packet.data, packet.size, false);
	return packet;
}

static void cross(struct packet *packet, bool from_site, bool partial)
{
	struct inner inner, again;
	assert_int_equal(inner_parse(packet->data, packet->size, &inner), DROP_NONE);
	if (from_site)
		translate_from_site(table, packet->data, packet->size, &inner, partial);
	else
		translate_to_site(table, packet->data, packet->size, &inner, partial);
	assert_int_equal(inner_parse(packet->data, packet->size, &again), DROP_NONE);
	assert_true(addr_equal(&inner.source, &again.source));
	assert_true(addr_equal(&inner.destination, &again.destination));
}

static void assert_from(const struct packet *packet, const char *from, const char *to)
{
	struct inner inner;
	struct addr addr;
	assert_int_equal(inner_parse(packet->data, packet->size, &inner), DROP_NONE);
	assert_int_equal(addr_parse(from, &addr), 0);
	assert_true(addr_equal(&inner.source, &addr));
	assert_int_equal(addr_parse(to, &addr), 0);
	assert_true(addr_equal(&inner.destination, &addr));
}

static const struct {
	const char *inside, *outside, *peer;
} ends[] = {
	{"192.168.1.77", "10.201.1.77", "10.90.0.2"},
	{"192.168.1.0", "10.201.1.0", "10.90.0.2"},
	{"172.23.255.254", "10.15.255.254", "10.90.0.2"},
	{"fd00:1::1:2", "fd99:77:5::1:2", "fd90::2"},
	{"fd00:2:0:9abc::7", "fd99:78:5:5abc::7", "fd90::2"},
};
#define ENDS (sizeof(ends) / sizeof(ends[0]))

static void there_and_back(void **state)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, 0};
	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		size_t end = round % ENDS;
		bool partial = round & 8;
		uint8_t protocol = protocols[round % 3];
		if (!protocol) {
			protocol = strchr(ends[end].peer, ':') ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
			partial = false;
		}
		struct packet out =
			build(ends[end].inside, ends[end].peer, protocol, round % 101, partial);
		struct packet in =
			build(ends[end].peer, ends[end].outside, protocol, round % 97, partial);
		struct packet before = out;
		cross(&out, true, partial);
		assert_from(&out, ends[end].outside, ends[end].peer);
		assert_sealed(out.data, out.size, partial);
		cross(&in, false, partial);
		assert_from(&in, ends[end].peer, ends[end].inside);
		assert_sealed(in.data, in.size, partial);
		// Nothing else has changed.
		size_t rest = header_of(out.data) + check_of(out.data) + 2;
		assert_memory_equal(out.data + rest, before.data + rest, out.size - rest);
	}
}

static void errors_are_followed(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 1000; round++) {
		size_t end = round % ENDS;
		uint8_t protocol = round & 1 ? IPPROTO_TCP : IPPROTO_UDP;
		// The peer sent what it knows as `outside`; the site's router answers to what came there.
		struct packet sent = build(ends[end].peer, ends[end].outside, protocol, 30, false);
		struct packet arrived = sent;
		cross(&arrived, false, false);
		size_t header = header_of(sent.data);
		size_t quoted = round & 2 ? sent.size : header + 8;
		struct packet error =
			build_error(ends[end].inside, ends[end].peer, &arrived, quoted);
		cross(&error, true, false);
		assert_from(&error, ends[end].outside, ends[end].peer);
		assert_sealed(error.data, error.size, false);
		assert_memory_equal(error.data + header + 8, sent.data, header + 8);
		// And the other way round.
		sent = build(ends[end].inside, ends[end].peer, protocol, 30, false);
		arrived = sent;
		cross(&arrived, true, false);
		error = build_error(ends[end].peer, ends[end].outside, &arrived, quoted);
		cross(&error, false, false);
		assert_from(&error, ends[end].peer, ends[end].inside);
		assert_sealed(error.data, error.size, false);
		assert_memory_equal(error.data + header + 8, sent.data, header + 8);
	}
}

static void leaves_others_alone(void **state)
{
	(void)state;
	struct packet packet = build("192.168.2.1", "10.201.1.5", IPPROTO_TCP, 10, false);
	struct packet before = packet;
	cross(&packet, true, false);
	assert_memory_equal(packet.data, before.data, packet.size);
	packet = before = build("10.201.1.5", "192.168.1.5", IPPROTO_TCP, 10, false);
	cross(&packet, false, false);
	assert_memory_equal(packet.data, before.data, packet.size);
	// Whose datagrams have no checksum gets none.
	packet = build("192.168.1.5", "10.90.0.2", IPPROTO_UDP, 10, false);
	put16(packet.data + 26, 0);
	cross(&packet, true, false);
	assert_int_equal(get16(packet.data + 26), 0);
	assert_null(translations_new(NULL, 0));
}

static void later_fragments_have_no_checksum(void **state)
{
	(void)state;
	struct packet packet = build("192.168.1.5", "10.90.0.2", IPPROTO_UDP, 56, false);
	put16(packet.data + 6, 0x0020); // the last one, from byte 256 on
	put16(packet.data + 10, 0);
	put16(packet.data + 10, (uint16_t)~checksum_add(0, packet.data, 20));
	struct packet before = packet;
	cross(&packet, true, false);
	assert_from(&packet, "10.201.1.5", "10.90.0.2");
	assert_int_equal(checksum_add(0, packet.data, 20), 0xffff);
	assert_memory_equal(packet.data + 20, before.data + 20, packet.size - 20);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(there_and_back),
		CASE(errors_are_followed),
		CASE(leaves_others_alone),
		CASE(later_fragments_have_no_checksum),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
