// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tun/transport.h"
#include "unit/inner_fixture.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NUMBER	     253u // a protocol that nobody knows (RFC 3692)

static void assert_drop(enum drop found, enum drop expected, const char *what)
{
	if (found != expected)
		fail_msg("%s: drop %d, expected %d", what, found, expected);
}

static void assert_addr(const struct addr *addr, const char *text)
{
	struct addr expected;
	assert_int_equal(addr_parse(text, &expected), 0);
	assert_true(addr_equal(addr, &expected));
}

// --- lengths and addresses

static void wants_exact_ipv4_lengths(void **state)
{
	(void)state;
	uint8_t packet[INNER_MAX] = {0};
	struct inner inner;
	for (size_t words = 0; words < 16; words++)
		for (size_t size = 0; size <= 128; size++) {
			inner_ipv4(packet, NUMBER, 0, NULL, 0, NULL, 0);
			packet[0] = (uint8_t)(0x40 | words);
			put16(packet + 2, size);
			memset(packet + 20, 0, 128);
			bool right = words >= 5 && size >= words * 4;
			assert_drop(inner_judge(packet, size, &inner),
				    right ? DROP_NONE : DROP_MALFORMED, "header words");
		}
	for (unsigned total = 0; total <= 300; total++) {
		inner_ipv4(packet, NUMBER, 0, NULL, 0, NULL, 0);
		put16(packet + 2, total);
		assert_int_equal(inner_judge(packet, 60, &inner) == DROP_NONE, total == 60);
	}
	inner_ipv4(packet, NUMBER, 0x8000, NULL, 0, NULL, 0);
	assert_drop(inner_judge(packet, 20, &inner), DROP_MALFORMED, "reserved bit");
}

static void wants_exact_ipv6_lengths(void **state)
{
	(void)state;
	uint8_t packet[INNER_MAX] = {0};
	struct inner inner;
	for (uint16_t payload = 0; payload <= 128; payload++) {
		inner_ipv6(packet, NUMBER, NULL, 0);
		put16(packet + 4, payload);
		for (size_t size = 0; size <= 256; size++)
			assert_int_equal(inner_judge(packet, size, &inner) == DROP_NONE,
					 size == payload + 40u);
	}
	put16(packet + 4, 0xffff);
	assert_drop(inner_judge(packet, 40, &inner), DROP_MALFORMED, "wraps");
}

static void takes_a_super_packet(void **state)
{
	(void)state;
	static uint8_t packet[65535], bytes[65515] = {[12] = 0x50, TCP_ACK};
	struct inner inner;
	size_t size = inner_ipv4(packet, IPPROTO_TCP, 0x4000, NULL, 0, bytes, sizeof(bytes));
	assert_drop(inner_judge(packet, size, &inner), DROP_NONE, "TCP");
	put16(bytes + 4, sizeof(bytes));
	size = inner_ipv6(packet, IPPROTO_UDP, bytes, 65495);
	put16(packet + 44, 65495);
	assert_drop(inner_judge(packet, size, &inner), DROP_NONE, "UDP");
}

static void refuses_other_versions(void **state)
{
	(void)state;
	uint8_t packet[INNER_MAX] = {0};
	struct inner inner;
	assert_drop(inner_parse(NULL, 0, &inner), DROP_MALFORMED, "nothing");
	for (unsigned version = 0; version < 16; version++) {
		size_t size = inner_ipv4(packet, NUMBER, 0, NULL, 0, packet + 1000, 60);
		packet[0] = (uint8_t)(version << 4 | 5);
		assert_int_equal(inner_judge(packet, size, &inner) == DROP_NONE, version == 4);
		size = inner_ipv6(packet, NUMBER, packet + 1000, 20);
		packet[0] = (uint8_t)(version << 4);
		assert_int_equal(inner_judge(packet, size, &inner) == DROP_NONE, version == 6);
	}
}

static void knows_who_is_a_host(void **state)
{
	(void)state;
	const struct {
		const char *addr;
		enum drop as_source, as_destination;
	} cases[] = {
		{"0.0.0.0", DROP_ADDRESS, DROP_ADDRESS},
		{"0.1.2.3", DROP_ADDRESS, DROP_ADDRESS},
		{"1.0.0.1", DROP_NONE, DROP_NONE},
		{"127.0.0.1", DROP_ADDRESS, DROP_ADDRESS},
		{"169.254.1.1", DROP_NONE, DROP_NONE}, // nobody has a route to it
		{"223.255.255.255", DROP_NONE, DROP_NONE},
		{"224.0.0.1", DROP_ADDRESS, DROP_MULTICAST},
		{"239.1.1.1", DROP_ADDRESS, DROP_MULTICAST},
		{"240.0.0.1", DROP_ADDRESS, DROP_ADDRESS},
		{"255.255.255.255", DROP_ADDRESS, DROP_MULTICAST},
		{"::", DROP_ADDRESS, DROP_ADDRESS},
		{"::1", DROP_ADDRESS, DROP_ADDRESS},
		{"::10.1.2.3", DROP_ADDRESS, DROP_ADDRESS},
		{"::ffff:10.1.2.3", DROP_ADDRESS, DROP_ADDRESS},
		{"::1:ffff:10.1.2.3", DROP_NONE, DROP_NONE},
		{"::1:0:0:1", DROP_NONE, DROP_NONE},
		{"64:ff9b::a01:203", DROP_NONE, DROP_NONE},
		{"2001:db8::1", DROP_NONE, DROP_NONE},
		{"fe80::1", DROP_NONE, DROP_NONE},
		{"ff02::1", DROP_ADDRESS, DROP_MULTICAST},
	};
	uint8_t packet[INNER_MAX];
	struct inner inner;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct addr addr;
		assert_int_equal(addr_parse(cases[i].addr, &addr), 0);
		bool ipv4 = addr.family == AF_INET;
		for (unsigned to = 0; to < 2; to++) {
			size_t size = ipv4 ? inner_ipv4(packet, NUMBER, 0, NULL, 0, NULL, 0)
					   : inner_ipv6(packet, NUMBER, NULL, 0);
			memcpy(packet + (ipv4 ? 12 + to * 4 : 8 + to * 16), addr.bytes,
			       ADDR_BYTES(&addr));
			assert_drop(inner_judge(packet, size, &inner),
				    to ? cases[i].as_destination : cases[i].as_source,
				    cases[i].addr);
		}
	}
	size_t size = inner_ipv4(packet, NUMBER, 0, NULL, 0, NULL, 0);
	memcpy(packet + 16, packet + 12, 4);
	assert_drop(inner_judge(packet, size, &inner), DROP_ADDRESS, "to itself");
	size = inner_ipv6(packet, NUMBER, NULL, 0);
	memcpy(packet + 24, packet + 8, 16);
	assert_drop(inner_judge(packet, size, &inner), DROP_ADDRESS, "to itself");
}

// --- transport

struct transport_case {
	const char *what;
	uint8_t protocol;
	uint8_t bytes[48];
	size_t size;
	enum drop drop;
	uint16_t ports[2], payload; // behind the IP header
};

static const struct transport_case transport_cases[] = {
	{"TCP", 6, {0, 22, 1, 187, [12] = 0x50, TCP_SYN}, 20, DROP_NONE, {22, 443}, 20},
	{"TCP with options", 6, {0, 1, 0, 2, [12] = 0x80, TCP_ACK}, 40, DROP_NONE, {1, 2}, 32},
	{"TCP cut off", 6, {[12] = 0x50, TCP_ACK}, 19, DROP_MALFORMED, {0}, 0},
	{"TCP in 8 bytes", 6, {0}, 8, DROP_MALFORMED, {0}, 0},
	{"TCP of nothing", 6, {0}, 0, DROP_MALFORMED, {0}, 0},
	{"TCP header of 16", 6, {[12] = 0x40, TCP_ACK}, 40, DROP_MALFORMED, {0}, 0},
	{"TCP header of 0", 6, {[12] = 0x00, TCP_ACK}, 40, DROP_MALFORMED, {0}, 0},
	{"TCP header past the end", 6, {[12] = 0x60, TCP_ACK}, 20, DROP_MALFORMED, {0}, 0},
	{"TCP without flags", 6, {[12] = 0x50}, 20, DROP_MALFORMED, {0}, 0},
	{"TCP SYN and FIN", 6, {[12] = 0x50, 0x03}, 20, DROP_MALFORMED, {0}, 0},
	{"TCP SYN and RST", 6, {[12] = 0x50, 0x06}, 20, DROP_MALFORMED, {0}, 0},
	{"TCP FIN alone", 6, {[12] = 0x50, 0x01}, 20, DROP_MALFORMED, {0}, 0},
	{"TCP all flags", 6, {[12] = 0x50, 0xff}, 20, DROP_MALFORMED, {0}, 0},
	{"TCP ECN-setup SYN", 6, {[12] = 0x50, 0xc2}, 20, DROP_NONE, {0}, 20},
	{"UDP", 17, {0, 53, 2, 0, 0, 12}, 12, DROP_NONE, {53, 512}, 8},
	{"UDP cut off", 17, {0, 53, 2, 0, 0, 8}, 7, DROP_MALFORMED, {0}, 0},
	{"UDP longer than it is", 17, {0, 53, 2, 0, 0, 13}, 12, DROP_MALFORMED, {0}, 0},
	{"UDP shorter than its header", 17, {0, 53, 2, 0, 0, 7}, 12, DROP_MALFORMED, {0}, 0},
	{"UDP without length", 17, {0, 53, 2, 0, 0, 0}, 12, DROP_MALFORMED, {0}, 0},
	{"UDP with options behind", 17, {0, 53, 2, 0, 0, 9}, 12, DROP_NONE, {53, 512}, 8},
	{"UDP-Lite", 136, {0, 53, 2, 0, 0, 8}, 12, DROP_NONE, {53, 512}, 8},
	{"UDP-Lite covered whole", 136, {0, 53, 2, 0, 0, 0}, 12, DROP_NONE, {53, 512}, 8},
	{"UDP-Lite covered in part of its header", 136, {[5] = 7}, 12, DROP_MALFORMED, {0}, 0},
	{"UDP-Lite covered past the end", 136, {[5] = 13}, 12, DROP_MALFORMED, {0}, 0},
	{"SCTP", 132, {0, 1, 0, 2}, 16, DROP_NONE, {1, 2}, 12},
	{"SCTP cut off", 132, {0, 1, 0, 2}, 11, DROP_MALFORMED, {0}, 0},
	{"DCCP", 33, {0, 1, 0, 2}, 12, DROP_NONE, {1, 2}, 12},
	{"GRE", 47, {0, 0, 8, 0, 0x45}, 24, DROP_NONE, {0, 0}, 0},
	{"ESP", 50, {1, 2, 3, 4}, 24, DROP_NONE, {0, 0}, 0},
	{"AH before TCP", 51, {6, 4}, 44, DROP_NONE, {0, 0}, 0},
	{"IP in IP", 4, {0x45}, 20, DROP_NONE, {0, 0}, 0},
	{"no next header", 59, {1, 2, 3}, 3, DROP_NONE, {0, 0}, 0},
	{"unknown", NUMBER, {0, 22, 1, 187}, 4, DROP_NONE, {0, 0}, 0},
	{"unknown, of nothing", NUMBER, {0}, 0, DROP_NONE, {0, 0}, 0},
};

static void reads_transport_headers(void **state)
{
	(void)state;
	uint8_t packet[INNER_MAX];
	struct inner inner;
	for (size_t i = 0; i < COUNT(transport_cases); i++) {
		const struct transport_case *c = &transport_cases[i];
		for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
			size_t size = ipv6 ? inner_ipv6(packet, c->protocol, c->bytes, c->size)
					   : inner_ipv4(packet, c->protocol, 0, NULL, 0, c->bytes,
							c->size);
			assert_drop(inner_judge(packet, size, &inner), c->drop, c->what);
			if (c->drop != DROP_NONE)
				continue;
			size_t header = size - c->size;
			assert_addr(&inner.source, ipv6 ? "fd00::1:3" : "10.1.2.3");
			assert_addr(&inner.destination, ipv6 ? "fd00::2:9" : "192.0.2.9");
			assert_int_equal(inner.protocol, c->protocol);
			assert_int_equal(inner.source_port, c->ports[0]);
			assert_int_equal(inner.destination_port, c->ports[1]);
			assert_int_equal(inner_service(&inner), c->ports[1]);
			assert_int_equal(inner.transport, header);
			assert_int_equal(inner.payload, header + c->payload);
			assert_int_equal(inner.part, INNER_WHOLE);
			assert_int_equal(inner.tcp_flags, c->protocol == 6 ? c->bytes[13] : 0);
		}
	}
}

// --- ICMP

static void knows_icmp_messages(void **state)
{
	(void)state;
	uint8_t packet[INNER_MAX], bytes[64] = {0, 3, [4] = 0x12, 0x34};
	struct inner inner;
	for (unsigned type = 0; type < 256; type++) {
		bytes[0] = (uint8_t)type;
		bool query = type == 0 || type == 8 || (type >= 13 && type <= 18) || type == 42 ||
			     type == 43;
		bool link = type == 5 || type == 9 || type == 10;
		bool error = type == 3 || type == 4 || type == 11 || type == 12;
		size_t size = inner_ipv4(packet, IPPROTO_ICMP, 0, NULL, 0, bytes, 8);
		assert_drop(inner_judge(packet, size, &inner),
			    link    ? DROP_PROTOCOL
			    : error ? DROP_QUOTE
				    : DROP_NONE,
			    "ICMP");
		assert_int_equal(inner.source_port, query ? 0x1234 : 0);
		assert_int_equal(inner.destination_port, query ? 0x1234 : 0);
		if (!link && !error)
			assert_int_equal(inner_service(&inner), type << 8 | 3);
	}
}

static void knows_icmp6_messages(void **state)
{
	(void)state;
	uint8_t packet[INNER_MAX], bytes[64] = {0, 3, [4] = 0x12, 0x34};
	struct inner inner;
	for (unsigned type = 0; type < 256; type++) {
		bytes[0] = (uint8_t)type;
		bool query = type == 128 || type == 129 || type == 160 || type == 161;
		bool link = (type >= 130 && type <= 137) || type == 143;
		size_t size = inner_ipv6(packet, IPPROTO_ICMPV6, bytes, 8);
		assert_drop(inner_judge(packet, size, &inner),
			    link	 ? DROP_PROTOCOL
			    : type < 128 ? DROP_QUOTE
					 : DROP_NONE,
			    "ICMPv6");
		assert_int_equal(inner.source_port, query ? 0x1234 : 0);
	}
}

static void refuses_icmp_of_the_other_family(void **state)
{
	(void)state;
	uint8_t packet[INNER_MAX], bytes[64] = {8};
	struct inner inner;
	size_t size = inner_ipv4(packet, IPPROTO_ICMP, 0, NULL, 0, bytes, 7);
	assert_drop(inner_judge(packet, size, &inner), DROP_MALFORMED, "cut off");
	size = inner_ipv4(packet, IPPROTO_ICMPV6, 0, NULL, 0, bytes, 8);
	assert_drop(inner_judge(packet, size, &inner), DROP_PROTOCOL, "ICMPv6 in IPv4");
	size = inner_ipv6(packet, IPPROTO_ICMP, bytes, 8);
	assert_drop(inner_judge(packet, size, &inner), DROP_PROTOCOL, "ICMP in IPv6");
}

// What 192.0.2.9 says to 10.1.2.3 about its packet, here of 20 bytes of IP, then `size` bytes.
static size_t make_error(uint8_t *packet, uint8_t protocol, uint16_t fragment, const uint8_t *bytes,
			 size_t size)
{
	uint8_t icmp[8 + 256] = {3, 1}, flipped[4];
	size_t quoted = inner_ipv4(icmp + 8, protocol, fragment, NULL, 0, bytes, size);
	put16(icmp + 10, 1500); // of which this is the beginning
	size_t total = inner_ipv4(packet, IPPROTO_ICMP, 0, NULL, 0, icmp, 8 + quoted);
	memcpy(flipped, packet + 12, 4);
	memcpy(packet + 12, packet + 16, 4);
	memcpy(packet + 16, flipped, 4);
	return total;
}

static void reads_what_errors_quote(void **state)
{
	(void)state;
	const struct {
		const char *what;
		uint8_t protocol;
		uint16_t fragment;
		uint8_t bytes[48];
		size_t size;
		uint16_t ports[2];
		bool right;
	} cases[] = {
		{"TCP", 6, 0, {0, 22, 1, 187}, 8, {22, 443}, true},
		{"more TCP", 6, 0, {0, 22, 1, 187, [12] = 0x50, 0x10}, 24, {22, 443}, true},
		{"TCP, options cut off", 6, 0, {[12] = 0x80, 0x10}, 24, {0}, true},
		{"TCP, 7 bytes", 6, 0, {0, 22, 1, 187}, 7, {0}, false},
		{"UDP", 17, 0, {0, 53, 2, 0, 4, 0}, 8, {53, 512}, true},
		{"UDP of no length", 17, 0, {0, 53, 2, 0}, 8, {0}, false},
		{"an echo", 1, 0, {8, 0, 0, 0, 0x12, 0x34}, 8, {0x1234, 0x1234}, true},
		{"an error", 1, 0, {3, 0}, 40, {0}, false},
		{"a redirect", 1, 0, {5, 0}, 40, {0}, false},
		{"ESP", 50, 0, {1, 2, 3, 4}, 8, {0}, true},
		{"a first fragment", 17, 0x2000, {0, 53, 2, 0, 8}, 8, {53, 512}, true},
		{"a later fragment", 17, 0x2010, {0, 53, 2, 0, 8}, 8, {0}, false},
		{"nothing", NUMBER, 0, {0}, 0, {0}, true},
	};
	uint8_t packet[INNER_MAX];
	struct inner inner, quote;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t size = make_error(packet, cases[i].protocol, cases[i].fragment,
					 cases[i].bytes, cases[i].size);
		assert_drop(inner_judge(packet, size, &inner),
			    cases[i].right ? DROP_NONE : DROP_QUOTE, cases[i].what);
		if (!cases[i].right)
			continue;
		assert_true(inner.error);
		assert_int_equal(inner_service(&inner), 3 << 8 | 1);
		assert_int_equal(inner_quote(packet, size, &inner, &quote), DROP_NONE);
		assert_addr(&quote.source, "10.1.2.3");
		assert_addr(&quote.destination, "192.0.2.9");
		assert_int_equal(quote.protocol, cases[i].protocol);
		assert_int_equal(quote.source_port, cases[i].ports[0]);
		assert_int_equal(quote.destination_port, cases[i].ports[1]);
	}
}

static void an_error_is_for_who_sent_what_it_quotes(void **state)
{
	(void)state;
	uint8_t packet[INNER_MAX], bytes[8] = {0, 22, 1, 187}, icmp[48] = {1};
	struct inner inner;
	size_t size = make_error(packet, IPPROTO_TCP, 0, bytes, 8);
	packet[19] = 4; // somebody else
	assert_drop(inner_judge(packet, size, &inner), DROP_QUOTE, "another receiver");
	size = make_error(packet, IPPROTO_TCP, 0, bytes, 8);
	packet[28] = 0x60;
	assert_drop(inner_judge(packet, size, &inner), DROP_QUOTE, "the other version");
	size = make_error(packet, IPPROTO_TCP, 0, bytes, 8);
	put16(packet + 30, 20);
	assert_drop(inner_judge(packet, size, &inner), DROP_QUOTE, "a length without transport");
	size = inner_ipv6(packet, IPPROTO_ICMPV6, icmp, sizeof(icmp));
	assert_drop(inner_judge(packet, size, &inner), DROP_QUOTE, "zeros");
	// IPv6, hidden behind destination options.
	uint8_t hidden[16] = {IPPROTO_UDP, 0, 1, 4, [8] = 0, 53, 2, 0, 0, 99};
	inner_ipv6(packet + 48, IPPROTO_DSTOPTS, hidden, sizeof(hidden));
	memcpy(icmp, (uint8_t[]){1, 4, 0, 0, 0, 0, 0, 0}, 8);
	uint8_t whole[8 + 56];
	memcpy(whole, icmp, 8);
	memcpy(whole + 8, packet + 48, 56);
	size = inner_ipv6(packet, IPPROTO_ICMPV6, whole, sizeof(whole));
	packet[37] = 1;
	packet[39] = 3;
	packet[21] = 2;
	packet[23] = 9;
	assert_drop(inner_judge(packet, size, &inner), DROP_NONE, "destination options");
	struct inner quote;
	assert_int_equal(inner_quote(packet, size, &inner, &quote), DROP_NONE);
	assert_int_equal(quote.destination_port, 512);
}

// --- hops

static void a_hop_costs_one(void **state)
{
	(void)state;
	uint8_t packet[INNER_MAX];
	for (unsigned tos = 0; tos < 256; tos++)
		for (unsigned ttl = 2; ttl < 256; ttl += 3) {
			inner_ipv4(packet, IPPROTO_UDP, 0, NULL, 0, NULL, 0);
			packet[1] = (uint8_t)tos;
			packet[8] = (uint8_t)ttl;
			put16(packet + 10, (uint16_t)~checksum_add(0, packet, 20));
			assert_true(inner_lower_ttl(packet));
			assert_int_equal(packet[8], ttl - 1);
			assert_int_equal(checksum_add(0, packet, 20), 0xffff);
		}
	for (unsigned ttl = 0; ttl < 2; ttl++) {
		packet[8] = (uint8_t)ttl;
		assert_false(inner_lower_ttl(packet));
		assert_int_equal(packet[8], ttl);
	}
	inner_ipv6(packet, IPPROTO_UDP, NULL, 0);
	packet[7] = 2;
	assert_true(inner_lower_ttl(packet));
	assert_int_equal(packet[7], 1);
	assert_false(inner_lower_ttl(packet));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wants_exact_ipv4_lengths),
		cmocka_unit_test(wants_exact_ipv6_lengths),
		cmocka_unit_test(takes_a_super_packet),
		cmocka_unit_test(refuses_other_versions),
		cmocka_unit_test(knows_who_is_a_host),
		cmocka_unit_test(reads_transport_headers),
		cmocka_unit_test(knows_icmp_messages),
		cmocka_unit_test(knows_icmp6_messages),
		cmocka_unit_test(refuses_icmp_of_the_other_family),
		cmocka_unit_test(reads_what_errors_quote),
		cmocka_unit_test(an_error_is_for_who_sent_what_it_quotes),
		cmocka_unit_test(a_hop_costs_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
