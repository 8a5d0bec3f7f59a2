// SPDX-License-Identifier: Apache-2.0
// What the sender of a packet that goes no further is told, against vectors of scapy 2.5.0, and who is told nothing.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tun/answer.h"
#include "tun/transport.h"
#include "unit/inner_fixture.h"

// clang-format off
static const uint8_t INNER_IPV4[] = {
	0x45, 0x00, 0x00, 0x2c, 0x00, 0x07, 0x40, 0x00, 0x40, 0x11, 0x6c, 0xad,
	0x0a, 0x01, 0x02, 0x03, 0xc0, 0x00, 0x02, 0x09, 0x03, 0xe8, 0x07, 0xd0,
	0x00, 0x18, 0x43, 0x9e, 0x6d, 0x75, 0x74, 0x75, 0x6e, 0x21, 0x21, 0x21,
	0x6d, 0x75, 0x74, 0x75, 0x6e, 0x21, 0x21, 0x21,
};
static const uint8_t TOO_BIG_IPV4[] = {
	0x45, 0xc0, 0x00, 0x48, 0x00, 0x00, 0x40, 0x00, 0x40, 0x01, 0x21, 0xf0,
	0x0a, 0x01, 0x02, 0x01, 0x0a, 0x01, 0x02, 0x03, 0x03, 0x04, 0xc6, 0x5a,
	0x00, 0x00, 0x04, 0xd8, 0x45, 0x00, 0x00, 0x2c, 0x00, 0x07, 0x40, 0x00,
	0x40, 0x11, 0x6c, 0xad, 0x0a, 0x01, 0x02, 0x03, 0xc0, 0x00, 0x02, 0x09,
	0x03, 0xe8, 0x07, 0xd0, 0x00, 0x18, 0x43, 0x9e, 0x6d, 0x75, 0x74, 0x75,
	0x6e, 0x21, 0x21, 0x21, 0x6d, 0x75, 0x74, 0x75, 0x6e, 0x21, 0x21, 0x21,
};
static const uint8_t INNER_IPV6[] = {
	0x60, 0x00, 0x00, 0x00, 0x00, 0x18, 0x11, 0x40, 0xfd, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03,
	0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x09, 0x03, 0xe8, 0x07, 0xd0, 0x00, 0x18, 0xe6, 0xe5,
	0x6d, 0x75, 0x74, 0x75, 0x6e, 0x21, 0x21, 0x21, 0x6d, 0x75, 0x74, 0x75,
	0x6e, 0x21, 0x21, 0x21,
};
static const uint8_t TOO_BIG_IPV6[] = {
	0x60, 0x00, 0x00, 0x00, 0x00, 0x48, 0x3a, 0x40, 0xfd, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
	0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x03, 0x02, 0x00, 0x8d, 0x34, 0x00, 0x00, 0x05, 0x14,
	0x60, 0x00, 0x00, 0x00, 0x00, 0x18, 0x11, 0x40, 0xfd, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03,
	0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x09, 0x03, 0xe8, 0x07, 0xd0, 0x00, 0x18, 0xe6, 0xe5,
	0x6d, 0x75, 0x74, 0x75, 0x6e, 0x21, 0x21, 0x21, 0x6d, 0x75, 0x74, 0x75,
	0x6e, 0x21, 0x21, 0x21,
};
static const uint8_t SYN_IPV4[] = {
	0x45, 0x00, 0x00, 0x2c, 0x00, 0x07, 0x40, 0x00, 0x40, 0x06, 0x6c, 0xb8,
	0x0a, 0x01, 0x02, 0x03, 0xc0, 0x00, 0x02, 0x09, 0x03, 0xe8, 0x01, 0xbb,
	0x01, 0x02, 0x03, 0x04, 0x00, 0x00, 0x00, 0x00, 0x60, 0x02, 0x20, 0x00,
	0xa0, 0x70, 0x00, 0x00, 0x02, 0x04, 0x05, 0xb4,
};
static const uint8_t RESET_IPV4[] = {
	0x45, 0x00, 0x00, 0x28, 0x00, 0x00, 0x40, 0x00, 0x40, 0x06, 0x6c, 0xc3,
	0xc0, 0x00, 0x02, 0x09, 0x0a, 0x01, 0x02, 0x03, 0x01, 0xbb, 0x03, 0xe8,
	0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x03, 0x05, 0x50, 0x14, 0x00, 0x00,
	0xd8, 0x19, 0x00, 0x00,
};
static const uint8_t DATA_IPV6[] = {
	0x60, 0x00, 0x00, 0x00, 0x00, 0x19, 0x06, 0x40, 0xfd, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03,
	0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x09, 0x03, 0xe8, 0x01, 0xbb, 0x00, 0x00, 0x00, 0x05,
	0xff, 0xff, 0xff, 0xf0, 0x50, 0x18, 0x20, 0x00, 0x0f, 0x7e, 0x00, 0x00,
	0x6d, 0x75, 0x74, 0x75, 0x6e,
};
static const uint8_t RESET_IPV6[] = {
	0x60, 0x00, 0x00, 0x00, 0x00, 0x14, 0x06, 0x40, 0x20, 0x01, 0x0d, 0xb8,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09,
	0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x03, 0x01, 0xbb, 0x03, 0xe8, 0xff, 0xff, 0xff, 0xf0,
	0x00, 0x00, 0x00, 0x00, 0x50, 0x04, 0x00, 0x00, 0x7f, 0x87, 0x00, 0x00,
};
// Without what they quote: the packets above.
static const uint8_t PROHIBITED_IPV4[] = {
	0x45, 0xc0, 0x00, 0x48, 0x00, 0x00, 0x40, 0x00, 0x40, 0x01, 0x21, 0xf0,
	0x0a, 0x01, 0x02, 0x01, 0x0a, 0x01, 0x02, 0x03, 0x03, 0x0d, 0xcb, 0x29,
	0x00, 0x00, 0x00, 0x00,
};
static const uint8_t EXPIRED_IPV4[] = {
	0x45, 0xc0, 0x00, 0x48, 0x00, 0x00, 0x40, 0x00, 0x40, 0x01, 0x21, 0xf0,
	0x0a, 0x01, 0x02, 0x01, 0x0a, 0x01, 0x02, 0x03, 0x0b, 0x00, 0xc3, 0x36,
	0x00, 0x00, 0x00, 0x00,
};
static const uint8_t PROHIBITED_IPV6[] = {
	0x60, 0x00, 0x00, 0x00, 0x00, 0x48, 0x3a, 0x40, 0xfd, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
	0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x03, 0x01, 0x01, 0x93, 0x47, 0x00, 0x00, 0x00, 0x00,
};
static const uint8_t EXPIRED_IPV6[] = {
	0x60, 0x00, 0x00, 0x00, 0x00, 0x48, 0x3a, 0x40, 0xfd, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
	0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x03, 0x03, 0x00, 0x91, 0x48, 0x00, 0x00, 0x00, 0x00,
};
// clang-format on

static const struct addr GATEWAY_IPV4 = {.family = AF_INET, .bytes = {10, 1, 2, 1}};
static const struct addr GATEWAY_IPV6 = {.family = AF_INET6, .bytes = {0xfd, [15] = 1}};

// RFC 1071 over any bytes, one at a time; 0xffff: a sum that includes its own checksum is right.
static unsigned sum(unsigned total, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		total += i % 2 ? bytes[i] : (unsigned)bytes[i] << 8;
		total = (total & 0xffff) + (total >> 16);
	}
	return total;
}

static void assert_well_formed(const uint8_t *answer, size_t size)
{
	unsigned pseudo = 0;
	size_t ip = answer[0] >> 4 == 4 ? 20 : 40;
	uint8_t protocol = answer[ip == 20 ? 9 : 6];
	const uint8_t rest[] = {(uint8_t)((size - ip) >> 8), (uint8_t)(size - ip), 0, protocol};
	if (ip == 20) {
		assert_int_equal(answer[2] << 8 | answer[3], size);
		assert_int_equal(sum(0, answer, 20), 0xffff);
	} else {
		assert_int_equal(answer[4] << 8 | answer[5], size - 40);
	}
	if (protocol != IPPROTO_ICMP)
		pseudo = sum(sum(0, answer + (ip == 20 ? 12 : 8), ip == 20 ? 8 : 32), rest,
			     sizeof(rest));
	assert_int_equal(sum(pseudo, answer + ip, size - ip), 0xffff);
}

// Of packets that inner_parse() accepts.
static size_t build(enum answer_type type, const uint8_t *packet, size_t size, unsigned mtu,
		    uint8_t *ret)
{
	struct answer answer = {.type = type, .mtu = mtu};
	struct inner inner;
	answer.from = packet[0] >> 4 == 4 ? GATEWAY_IPV4 : GATEWAY_IPV6;
	assert_int_equal(inner_judge(packet, size, &inner), DROP_NONE);
	return answer_build(&answer, packet, size, &inner, ret);
}

static void assert_refused(const uint8_t *packet, size_t size, unsigned mtu)
{
	uint8_t ret[ANSWER_MAX];
	assert_int_equal(build(ANSWER_TOO_BIG, packet, size, mtu, ret), 0);
}

static void assert_told(enum answer_type type, const uint8_t *packet, size_t size,
			const uint8_t *expected, size_t expected_size, bool quoted)
{
	uint8_t ret[ANSWER_MAX];
	size_t quote = quoted ? size : 0;
	assert_int_equal(build(type, packet, size, packet[0] >> 4 == 4 ? 1240 : 1300, ret),
			 expected_size + quote);
	assert_memory_equal(ret, expected, expected_size);
	assert_memory_equal(ret + expected_size, packet, quote);
}

#define TOLD(type, packet, expected, quoted) \
	assert_told(type, packet, sizeof(packet), expected, sizeof(expected), quoted)

static void it_is_what_scapy_builds(void **state)
{
	(void)state;
	TOLD(ANSWER_TOO_BIG, INNER_IPV4, TOO_BIG_IPV4, false);
	TOLD(ANSWER_TOO_BIG, INNER_IPV6, TOO_BIG_IPV6, false);
	TOLD(ANSWER_REFUSED, INNER_IPV4, PROHIBITED_IPV4, true);
	TOLD(ANSWER_REFUSED, INNER_IPV6, PROHIBITED_IPV6, true);
	TOLD(ANSWER_EXPIRED, INNER_IPV4, EXPIRED_IPV4, true);
	TOLD(ANSWER_EXPIRED, INNER_IPV6, EXPIRED_IPV6, true);
	TOLD(ANSWER_REFUSED, SYN_IPV4, RESET_IPV4, false);
	TOLD(ANSWER_REFUSED, DATA_IPV6, RESET_IPV6, false);
}

static void long_packets_are_quoted_in_part(void **state)
{
	(void)state;
	uint8_t packet[1500], bytes[1460], ret[ANSWER_MAX];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	for (size_t size = 0; size <= sizeof(bytes); size++) {
		size_t total = inner_ipv4(packet, IPPROTO_ESP, 0x4000, NULL, 0, bytes, size);
		size_t built = build(ANSWER_TOO_BIG, packet, total, 1240, ret);
		assert_int_equal(built, total + 28 < 576 ? total + 28 : 576);
		assert_memory_equal(ret + 28, packet, built - 28);
		assert_well_formed(ret, built);
		total = inner_ipv6(packet, IPPROTO_ESP, bytes, size);
		built = build(ANSWER_TOO_BIG, packet, total, 1300, ret);
		assert_int_equal(built, total + 48 < 1280 ? total + 48 : 1280);
		assert_memory_equal(ret + 48, packet, built - 48);
		assert_well_formed(ret, built);
	}
}

static void a_size_that_nobody_believes_is_not_sent(void **state)
{
	(void)state;
	uint8_t ret[ANSWER_MAX];
	assert_refused(INNER_IPV4, sizeof(INNER_IPV4), 67);
	assert_true(build(ANSWER_TOO_BIG, INNER_IPV4, sizeof(INNER_IPV4), 68, ret) > 0);
	assert_refused(INNER_IPV6, sizeof(INNER_IPV6), 1279);
	assert_true(build(ANSWER_TOO_BIG, INNER_IPV6, sizeof(INNER_IPV6), 1280, ret) > 0);
}

static void ours_is_of_the_same_family(void **state)
{
	(void)state;
	const struct addr *addresses[] = {&GATEWAY_IPV6, &(struct addr){.family = AF_UNSPEC}};
	uint8_t ret[ANSWER_MAX];
	struct inner inner;
	assert_int_equal(inner_parse(INNER_IPV4, sizeof(INNER_IPV4), &inner), DROP_NONE);
	for (unsigned i = 0; i < 2; i++)
		for (enum answer_type type = ANSWER_TOO_BIG; type <= ANSWER_EXPIRED; type++) {
			struct answer answer = {.type = type, .from = *addresses[i], .mtu = 1280};
			assert_int_equal(
				answer_build(&answer, INNER_IPV4, sizeof(INNER_IPV4), &inner, ret),
				0);
		}
}

static void what_may_be_cut_and_later_fragments_get_none(void **state)
{
	(void)state;
	uint8_t packet[INNER_MAX], bytes[16] = {0, 53, 2, 0, 0, 16}, ret[ANSWER_MAX];
	size_t size = inner_ipv4(packet, IPPROTO_UDP, 0, NULL, 0, bytes, 16);
	assert_refused(packet, size, 1240);
	assert_true(build(ANSWER_REFUSED, packet, size, 0, ret) > 0);
	inner_ipv4(packet, IPPROTO_UDP, 0x6000, NULL, 0, bytes, 16); // the first fragment
	assert_true(build(ANSWER_TOO_BIG, packet, size, 1240, ret) > 0);
	inner_ipv4(packet, IPPROTO_UDP, 0x4001, NULL, 0, bytes, 16);
	for (enum answer_type type = ANSWER_TOO_BIG; type <= ANSWER_EXPIRED; type++)
		assert_int_equal(build(type, packet, size, 1280, ret), 0);
}

static void errors_are_not_answered(void **state)
{
	(void)state;
	uint8_t packet[INNER_MAX], ret[ANSWER_MAX];
	for (unsigned type = 0; type < 256; type++) {
		uint8_t bytes[24] = {(uint8_t)type};
		struct inner inner;
		size_t size = inner_ipv4(packet, IPPROTO_ICMP, 0x4000, NULL, 0, bytes, 24);
		bool query = type == 0 || type == 8 || (type >= 13 && type <= 18) || type == 42 ||
			     type == 43;
		if (inner_parse(packet, size, &inner) == DROP_NONE)
			assert_int_equal(build(ANSWER_REFUSED, packet, size, 0, ret) > 0, query);
		size = inner_ipv6(packet, IPPROTO_ICMPV6, bytes, 24);
		if (inner_parse(packet, size, &inner) == DROP_NONE)
			assert_true(build(ANSWER_REFUSED, packet, size, 0, ret) > 0);
	}
	// What is told here is such an error.
	const enum answer_type types[] = {ANSWER_TOO_BIG, ANSWER_REFUSED, ANSWER_EXPIRED};
	uint8_t again[ANSWER_MAX];
	for (unsigned i = 0; i < 9; i++) {
		size_t size = build(types[i % 3], INNER_IPV4, sizeof(INNER_IPV4), 1280, ret);
		assert_int_equal(build(types[i / 3], ret, size, 1280, again), 0);
		size = build(types[i % 3], INNER_IPV6, sizeof(INNER_IPV6), 1280, ret);
		assert_int_equal(build(types[i / 3], ret, size, 1280, again), 0);
	}
}

static void an_authentication_header_hides_no_error(void **state)
{
	(void)state;
	const uint8_t next[] = {IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP};
	uint8_t packet[INNER_MAX], ret[ANSWER_MAX];
	for (unsigned i = 0; i < 3; i++) {
		uint8_t bytes[24] = {next[i], 1};
		size_t size = inner_ipv4(packet, IPPROTO_AH, 0x4000, NULL, 0, bytes, 24);
		assert_int_equal(build(ANSWER_REFUSED, packet, size, 0, ret) > 0, i == 2);
		size = inner_ipv6(packet, IPPROTO_AH, bytes, 24);
		assert_int_equal(build(ANSWER_REFUSED, packet, size, 0, ret) > 0, i == 2);
		size = inner_ipv6(packet, IPPROTO_AH, NULL, 0);
		assert_int_equal(build(ANSWER_REFUSED, packet, size, 0, ret), 0);
	}
}

// What RFC 9293, 3.10.7.1 says of each, over sequence numbers that wrap.
static void resets_are_believed(void **state)
{
	(void)state;
	const uint8_t flags[] = {TCP_SYN, TCP_SYN | TCP_ACK, TCP_ACK, TCP_FIN | TCP_ACK};
	uint8_t packet[INNER_MAX], bytes[20 + 12 + 100] = {1, 2, 3, 4}, ret[ANSWER_MAX];
	for (unsigned i = 0; i < 4 * 101; i++) {
		uint8_t flag = flags[i % 4];
		unsigned data = i / 4;
		put32(bytes + 4, UINT32_MAX - 50);
		put32(bytes + 8, 0x01020304 + i);
		bytes[12] = 0x80;
		bytes[13] = flag;
		bool ipv4 = i % 3;
		size_t size = ipv4 ? inner_ipv4(packet, 6, 0, NULL, 0, bytes, 32 + data)
				   : inner_ipv6(packet, 6, bytes, 32 + data);
		size_t built = build(ANSWER_REFUSED, packet, size, 0, ret);
		const uint8_t *tcp = ret + built - 20;
		assert_int_equal(built, ipv4 ? 40 : 60);
		assert_well_formed(ret, built);
		assert_int_equal(get32(tcp), 0x03040102);
		bool ack = flag & TCP_ACK;
		assert_int_equal(get32(tcp + 4), ack ? 0x01020304 + i : 0);
		assert_int_equal(get32(tcp + 8), ack ? 0 : UINT32_MAX - 50 + data + 1);
		assert_int_equal(tcp[13], ack ? TCP_RST : TCP_RST | TCP_ACK);
	}
	bytes[13] = TCP_RST;
	size_t size = inner_ipv4(packet, 6, 0, NULL, 0, bytes, 32);
	assert_int_equal(build(ANSWER_REFUSED, packet, size, 0, ret), 0);
	// How long it is, its first fragment does not say.
	bytes[13] = TCP_SYN;
	size = inner_ipv4(packet, 6, 0x2000, NULL, 0, bytes, 32);
	size_t built = build(ANSWER_REFUSED, packet, size, 0, ret);
	assert_int_equal(built, size + 28);
	assert_int_equal(ret[9], IPPROTO_ICMP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_what_scapy_builds),
		cmocka_unit_test(long_packets_are_quoted_in_part),
		cmocka_unit_test(a_size_that_nobody_believes_is_not_sent),
		cmocka_unit_test(ours_is_of_the_same_family),
		cmocka_unit_test(what_may_be_cut_and_later_fragments_get_none),
		cmocka_unit_test(errors_are_not_answered),
		cmocka_unit_test(an_authentication_header_hides_no_error),
		cmocka_unit_test(resets_are_believed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
