// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tun/extension.h"
#include "tun/transport.h"
#include "unit/inner_fixture.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define UDP_AT(at)   [at] = 0, 53, 2, 0, 0, 8
#define MORE	     0x2000u

static void assert_drop(enum drop found, enum drop expected, const char *what)
{
	if (found != expected)
		fail_msg("%s: drop %d, expected %d", what, found, expected);
}

static void judges_ipv4_options(void **state)
{
	(void)state;
	const struct {
		const char *what;
		uint8_t options[40];
		size_t size;
		enum drop drop;
	} cases[] = {
		{"end", {0}, 4, DROP_NONE},
		{"nothings", {1, 1, 1, 1, 1, 1, 1, 0}, 8, DROP_NONE},
		{"record route", {7, 7, 4, 0, 0, 0, 0, 0}, 8, DROP_NONE},
		{"router alert", {148, 4, 0, 0}, 4, DROP_NONE},
		{"loose source route", {131, 7, 4, 10, 0, 0, 1, 0}, 8, DROP_OPTIONS},
		{"strict source route", {1, 137, 7, 4, 10, 0, 0, 1}, 8, DROP_OPTIONS},
		{"source route behind others", {7, 3, 4, 131, 3, 4, 0, 0}, 8, DROP_OPTIONS},
		{"source route behind the end", {0, 131, 3, 4}, 4, DROP_NONE},
		{"no length", {1, 1, 1, 7}, 4, DROP_OPTIONS},
		{"length of 0", {7, 0, 0, 0}, 4, DROP_OPTIONS},
		{"length of 1", {7, 1, 0, 0}, 4, DROP_OPTIONS},
		{"past the end", {7, 5, 0, 0}, 4, DROP_OPTIONS},
	};
	uint8_t packet[INNER_MAX], udp[8] = {UDP_AT(0)};
	struct inner inner;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t size =
			inner_ipv4(packet, IPPROTO_UDP, 0, cases[i].options, cases[i].size, udp, 8);
		assert_drop(inner_judge(packet, size, &inner), cases[i].drop, cases[i].what);
		if (cases[i].drop == DROP_NONE)
			assert_int_equal(inner.destination_port, 512);
	}
}

static void walks_over_extension_headers(void **state)
{
	(void)state;
	const struct {
		const char *what;
		uint8_t first;
		uint8_t headers[64];
		size_t size;
		enum drop drop;
	} cases[] = {
		{"hop-by-hop", 0, {17, 0, 1, 4, UDP_AT(8)}, 16, DROP_NONE},
		{"hop-by-hop, pads of one", 0, {17, 0, UDP_AT(8)}, 16, DROP_NONE},
		{"destination options", 60, {17, 0, 1, 4, UDP_AT(8)}, 16, DROP_NONE},
		{"all, in order",
		 0,
		 {60, 0, [8] = 43, 0, [16] = 60, 0, 4, 0, [24] = 17, 0, UDP_AT(32)},
		 40,
		 DROP_NONE},
		{"destination options three times",
		 60,
		 {60, 0, [8] = 60, 0, [16] = 17, 0, UDP_AT(24)},
		 32,
		 DROP_EXTENSION},
		{"hop-by-hop twice", 0, {0, 0, [8] = 17, 0, UDP_AT(16)}, 24, DROP_EXTENSION},
		{"hop-by-hop second", 60, {0, 0, [8] = 17, 0, UDP_AT(16)}, 24, DROP_EXTENSION},
		{"routing type 0", 43, {17, 0, 0, 0, UDP_AT(8)}, 16, DROP_EXTENSION},
		{"routing type 0, on its way", 43, {17, 2, 0, 1, UDP_AT(24)}, 32, DROP_EXTENSION},
		{"segment routing, done", 43, {17, 0, 4, 0, UDP_AT(8)}, 16, DROP_NONE},
		{"segment routing, on its way", 43, {17, 0, 4, 1, UDP_AT(8)}, 16, DROP_EXTENSION},
		{"mobile routing, on its way", 43, {17, 2, 2, 1, UDP_AT(24)}, 32, DROP_EXTENSION},
		{"routing twice",
		 43,
		 {43, 0, 4, 0, [8] = 17, 0, 4, 0, UDP_AT(16)},
		 24,
		 DROP_EXTENSION},
		{"home address", 60, {17, 2, 1, 2, 0, 0, 0xc9, 16, UDP_AT(24)}, 32, DROP_EXTENSION},
		{"jumbo payload", 0, {17, 0, 0xc2, 4, UDP_AT(8)}, 16, DROP_EXTENSION},
		{"option past the header", 0, {17, 0, 1, 5, UDP_AT(8)}, 16, DROP_EXTENSION},
		{"option without length", 0, {17, 0, 1, 3, [7] = 5, UDP_AT(8)}, 16, DROP_EXTENSION},
		{"header past the end", 0, {17, 2, 1, 4, UDP_AT(8)}, 16, DROP_EXTENSION},
		{"header cut off", 60, {17}, 1, DROP_EXTENSION},
		{"nothing behind", 60, {17, 0}, 8, DROP_MALFORMED},
		{"no next header", 60, {59, 0}, 8, DROP_NONE},
		{"an error behind options", 60, {58, 0, [8] = 1}, 16, DROP_QUOTE},
	};
	uint8_t packet[INNER_MAX];
	struct inner inner;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t size = inner_ipv6(packet, cases[i].first, cases[i].headers, cases[i].size);
		assert_drop(inner_judge(packet, size, &inner), cases[i].drop, cases[i].what);
		if (cases[i].drop == DROP_NONE && inner.protocol == IPPROTO_UDP)
			assert_int_equal(inner.destination_port, 512);
	}
}

static void a_chain_has_an_end(void **state)
{
	(void)state;
	// Alternating, so that none is there too often before there are too many.
	uint8_t packet[INNER_MAX], bytes[100 * 8 + 8] = {0};
	struct inner inner;
	for (unsigned i = 0; i < 100; i++)
		bytes[(size_t)i * 8] = IPPROTO_DSTOPTS;
	size_t size = inner_ipv6(packet, IPPROTO_DSTOPTS, bytes, sizeof(bytes));
	assert_drop(inner_judge(packet, size, &inner), DROP_EXTENSION, "100 headers");
	for (size_t words = 1; words <= 100; words++) {
		memset(bytes, 0, sizeof(bytes));
		bytes[0] = IPPROTO_UDP;
		bytes[1] = (uint8_t)(words - 1);
		put16(bytes + words * 8 + 4, 8);
		size = inner_ipv6(packet, IPPROTO_HOPOPTS, bytes, words * 8 + 8);
		assert_drop(inner_judge(packet, size, &inner),
			    words * 8 <= EXTENSION_BYTES_MAX ? DROP_NONE : DROP_EXTENSION,
			    "long options");
	}
}

struct fragment_case {
	const char *what;
	uint8_t protocol;
	uint16_t units; // offset in units of 8 bytes
	bool more;
	uint8_t bytes[64];
	size_t size;
	enum drop drop;
	enum inner_part part;
};

static const struct fragment_case fragment_cases[] = {
	{"first of UDP", 17, 0, true, {0, 53, 2, 0, 8}, 16, DROP_NONE, INNER_FIRST},
	{"first of UDP, tiny", 17, 0, true, {0, 53, 2, 0, 8}, 8, DROP_NONE, INNER_FIRST},
	{"first of TCP", 6, 0, true, {[12] = 0x50, 0x10}, 24, DROP_NONE, INNER_FIRST},
	{"first of TCP, tiny", 6, 0, true, {[12] = 0x50, 0x10}, 16, DROP_FRAGMENT, 0},
	{"first of TCP, 8 bytes", 6, 0, true, {0, 22, 1, 187}, 8, DROP_FRAGMENT, 0},
	{"first of TCP, options elsewhere", 6, 0, true, {[12] = 0x70, 0x10}, 24, DROP_FRAGMENT, 0},
	{"first of SCTP, tiny", 132, 0, true, {0, 1, 0, 2}, 8, DROP_FRAGMENT, 0},
	{"first of ICMP", 99, 0, true, {0}, 8, DROP_NONE, INNER_FIRST},
	{"later", 17, 2, true, {1}, 16, DROP_NONE, INNER_LATER},
	{"last", 17, 2, false, {1}, 13, DROP_NONE, INNER_LATER},
	{"later of TCP", 6, 3, true, {1}, 16, DROP_NONE, INNER_LATER},
	{"TCP at 8", 6, 1, false, {1}, 16, DROP_FRAGMENT, 0},
	{"TCP at 16", 6, 2, false, {1}, 16, DROP_FRAGMENT, 0},
	{"SCTP at 8", 132, 1, false, {1}, 16, DROP_FRAGMENT, 0},
	{"UDP at 8", 17, 1, false, {1}, 16, DROP_NONE, INNER_LATER},
	{"not of eights", 17, 2, true, {1}, 13, DROP_FRAGMENT, 0},
	{"empty", 17, 2, false, {0}, 0, DROP_FRAGMENT, 0},
	{"empty, more follow", 17, 2, true, {0}, 0, DROP_FRAGMENT, 0},
	{"past the end", 17, 0x1fff, false, {0}, 16, DROP_FRAGMENT, 0},
};

static void assert_fragment(const struct fragment_case *c, const struct inner *inner)
{
	assert_int_equal(inner->part, c->part);
	assert_int_equal(inner->offset, c->units * 8);
	assert_int_equal(inner->length, c->size);
	assert_int_equal(inner->last, !c->more);
	assert_int_equal(inner->id, 7);
	if (c->part == INNER_LATER)
		assert_int_equal(inner->destination_port, 0);
	else if (c->protocol == IPPROTO_UDP)
		assert_int_equal(inner->destination_port, 512);
}

static void judges_fragments(void **state)
{
	(void)state;
	uint8_t packet[INNER_MAX], bytes[8 + 64];
	struct inner inner;
	for (size_t i = 0; i < COUNT(fragment_cases); i++) {
		const struct fragment_case *c = &fragment_cases[i];
		unsigned word = (c->more ? MORE : 0) | c->units;
		size_t size =
			inner_ipv4(packet, c->protocol, (uint16_t)word, NULL, 0, c->bytes, c->size);
		assert_drop(inner_judge(packet, size, &inner), c->drop, c->what);
		if (c->drop == DROP_NONE)
			assert_fragment(c, &inner);
		memset(bytes, 0, 8);
		bytes[0] = c->protocol;
		put16(bytes + 2, (size_t)c->units << 3 | c->more);
		bytes[7] = 7;
		memcpy(bytes + 8, c->bytes, c->size);
		size = inner_ipv6(packet, IPPROTO_FRAGMENT, bytes, 8 + c->size);
		assert_drop(inner_judge(packet, size, &inner), c->drop, c->what);
		if (c->drop == DROP_NONE)
			assert_fragment(c, &inner);
	}
}

static const struct {
	const char *what;
	uint8_t first;
	uint8_t headers[64];
	size_t size;
	enum drop drop;
	enum inner_part part;
} header_cases[] = {
	{"atomic", 44, {17, 0, 0, 0, UDP_AT(8)}, 16, DROP_NONE, INNER_WHOLE},
	{"atomic, options behind",
	 44,
	 {60, 0, 0, 0, [8] = 17, 0, UDP_AT(16)},
	 24,
	 DROP_NONE,
	 INNER_WHOLE},
	{"atomic twice", 44, {44, 0, 0, 0, [8] = 17, 0, 0, 0, UDP_AT(16)}, 24, DROP_FRAGMENT, 0},
	{"a fragment in a fragment",
	 44,
	 {44, 0, 0, 1, [8] = 17, 0, 0, 1, UDP_AT(16)},
	 24,
	 DROP_FRAGMENT,
	 0},
	{"first, options behind",
	 44,
	 {60, 0, 0, 1, [8] = 17, 0, UDP_AT(16)},
	 24,
	 DROP_NONE,
	 INNER_FIRST},
	{"first, transport elsewhere", 44, {60, 0, 0, 1, [8] = 17, 0}, 16, DROP_FRAGMENT, 0},
	{"first, options elsewhere", 44, {60, 0, 0, 1, [8] = 17, 9}, 16, DROP_FRAGMENT, 0},
	{"behind options", 0, {44, 0, [8] = 17, 0, 0, 1, UDP_AT(16)}, 24, DROP_NONE, INNER_FIRST},
	{"hop-by-hop behind", 44, {0, 0, 0, 1, [8] = 17, 0, UDP_AT(16)}, 24, DROP_EXTENSION, 0},
	{"later, whatever is in it", 44, {60, 0, 0, 16, [8] = 17, 99}, 16, DROP_NONE, INNER_LATER},
	{"header cut off", 44, {17, 0, 0}, 3, DROP_FRAGMENT, 0},
};

static void judges_fragment_headers(void **state)
{
	(void)state;
	uint8_t packet[INNER_MAX];
	struct inner inner;
	for (size_t i = 0; i < COUNT(header_cases); i++) {
		size_t size = inner_ipv6(packet, header_cases[i].first, header_cases[i].headers,
					 header_cases[i].size);
		assert_drop(inner_judge(packet, size, &inner), header_cases[i].drop,
			    header_cases[i].what);
		if (header_cases[i].drop == DROP_NONE)
			assert_int_equal(inner.part, header_cases[i].part);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judges_ipv4_options),
		cmocka_unit_test(walks_over_extension_headers),
		cmocka_unit_test(a_chain_has_an_end),
		cmocka_unit_test(judges_fragments),
		cmocka_unit_test(judges_fragment_headers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
