// SPDX-License-Identifier: Apache-2.0
// What the sender of a packet too large is told, against vectors of scapy 2.5.0, and who is told nothing.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tun/toobig.h"

// clang-format off
static const uint8_t INNER_IPV4[] = {
	0x45, 0x00, 0x00, 0x2c, 0x00, 0x07, 0x40, 0x00, 0x40, 0x11, 0x6c, 0xad,
	0x0a, 0x01, 0x02, 0x03, 0xc0, 0x00, 0x02, 0x09, 0x03, 0xe8, 0x07, 0xd0,
	0x00, 0x18, 0x43, 0x9e, 0x6d, 0x75, 0x74, 0x75, 0x6e, 0x21, 0x21, 0x21,
	0x6d, 0x75, 0x74, 0x75, 0x6e, 0x21, 0x21, 0x21,
};
static const uint8_t ANSWER_IPV4[] = {
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
static const uint8_t ANSWER_IPV6[] = {
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
	if (ip == 20) {
		assert_int_equal(answer[2] << 8 | answer[3], size);
		assert_int_equal(sum(0, answer, 20), 0xffff);
	} else {
		const uint8_t rest[] = {(uint8_t)((size - 40) >> 8), (uint8_t)(size - 40), 0, 58};
		assert_int_equal(answer[4] << 8 | answer[5], size - 40);
		pseudo = sum(sum(0, answer + 8, 32), rest, sizeof(rest));
	}
	assert_int_equal(sum(pseudo, answer + ip, size - ip), 0xffff);
}

static size_t build(const uint8_t *packet, size_t size, unsigned mtu, uint8_t *answer)
{
	bool ipv4 = packet[0] >> 4 == 4;
	return toobig_build(packet, size, mtu, ipv4 ? &GATEWAY_IPV4 : &GATEWAY_IPV6, answer);
}

static void assert_refused(const uint8_t *packet, size_t size, unsigned mtu)
{
	uint8_t answer[TOOBIG_MAX];
	assert_int_equal(build(packet, size, mtu, answer), 0);
}

static void it_is_what_scapy_builds(void **state)
{
	(void)state;
	uint8_t answer[TOOBIG_MAX];
	assert_int_equal(build(INNER_IPV4, sizeof(INNER_IPV4), 1240, answer), sizeof(ANSWER_IPV4));
	assert_memory_equal(answer, ANSWER_IPV4, sizeof(ANSWER_IPV4));
	assert_int_equal(build(INNER_IPV6, sizeof(INNER_IPV6), 1300, answer), sizeof(ANSWER_IPV6));
	assert_memory_equal(answer, ANSWER_IPV6, sizeof(ANSWER_IPV6));
}

static void long_packets_are_quoted_in_part(void **state)
{
	(void)state;
	uint8_t packet[1500] = {0}, answer[TOOBIG_MAX];
	for (size_t i = 0; i < sizeof(packet); i++)
		packet[i] = (uint8_t)(i * 7);
	for (size_t size = 44; size <= sizeof(packet); size++) {
		memcpy(packet, INNER_IPV4, sizeof(INNER_IPV4));
		size_t built = build(packet, size, 1240, answer);
		assert_int_equal(built, size + 28 < 576 ? size + 28 : 576);
		assert_memory_equal(answer + 28, packet, built - 28);
		assert_well_formed(answer, built);
		if (size < sizeof(INNER_IPV6))
			continue;
		memcpy(packet, INNER_IPV6, sizeof(INNER_IPV6));
		built = build(packet, size, 1300, answer);
		assert_int_equal(built, size + 48 < 1280 ? size + 48 : 1280);
		assert_memory_equal(answer + 48, packet, built - 48);
		assert_well_formed(answer, built);
	}
}

static void a_size_that_nobody_believes_is_not_sent(void **state)
{
	(void)state;
	uint8_t answer[TOOBIG_MAX];
	assert_refused(INNER_IPV4, sizeof(INNER_IPV4), 67);
	assert_true(build(INNER_IPV4, sizeof(INNER_IPV4), 68, answer) > 0);
	assert_refused(INNER_IPV6, sizeof(INNER_IPV6), 1279);
	assert_true(build(INNER_IPV6, sizeof(INNER_IPV6), 1280, answer) > 0);
	// The address of ours is of the other family, or none.
	struct addr none = {.family = AF_UNSPEC};
	assert_int_equal(toobig_build(INNER_IPV4, sizeof(INNER_IPV4), 1280, &GATEWAY_IPV6, answer),
			 0);
	assert_int_equal(toobig_build(INNER_IPV6, sizeof(INNER_IPV6), 1280, &GATEWAY_IPV4, answer),
			 0);
	assert_int_equal(toobig_build(INNER_IPV4, sizeof(INNER_IPV4), 1280, &none, answer), 0);
}

static void what_may_be_cut_and_later_fragments_get_none(void **state)
{
	(void)state;
	uint8_t packet[sizeof(INNER_IPV4)], answer[TOOBIG_MAX];
	memcpy(packet, INNER_IPV4, sizeof(packet));
	packet[6] = 0;
	assert_refused(packet, sizeof(packet), 1240);
	packet[6] = 0x60; // the first fragment
	assert_true(build(packet, sizeof(packet), 1240, answer) > 0);
	packet[7] = 1;
	assert_refused(packet, sizeof(packet), 1240);
}

static void only_one_host_is_told(void **state)
{
	(void)state;
	const uint8_t sources[][4] = {{0, 0, 0, 0},   {0, 1, 2, 3},   {127, 0, 0, 1},
				      {224, 0, 0, 1}, {240, 0, 0, 1}, {255, 255, 255, 255}};
	uint8_t packet[sizeof(INNER_IPV6)], answer[TOOBIG_MAX];
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		memcpy(packet, INNER_IPV4, sizeof(INNER_IPV4));
		memcpy(packet + 12, sources[i], 4);
		assert_refused(packet, sizeof(INNER_IPV4), 1240);
	}
	memcpy(packet, INNER_IPV4, sizeof(INNER_IPV4));
	packet[16] = 224; // to many
	assert_refused(packet, sizeof(INNER_IPV4), 1240);

	memcpy(packet, INNER_IPV6, sizeof(INNER_IPV6));
	memset(packet + 8, 0, 16);
	assert_refused(packet, sizeof(packet), 1300);
	packet[23] = 1;
	assert_refused(packet, sizeof(packet), 1300);
	packet[8] = 0xff;
	assert_refused(packet, sizeof(packet), 1300);
	// IPv6 to many is answered (RFC 4443, 2.4 (e.3)).
	memcpy(packet, INNER_IPV6, sizeof(INNER_IPV6));
	packet[24] = 0xff;
	assert_true(build(packet, sizeof(packet), 1300, answer) > 0);
}

static void errors_are_not_answered(void **state)
{
	(void)state;
	uint8_t packet[sizeof(INNER_IPV6)], answer[TOOBIG_MAX];
	for (unsigned type = 0; type < 256; type++) {
		bool query = type == 0 || (type >= 8 && type <= 10) || (type >= 13 && type <= 18);
		memcpy(packet, INNER_IPV4, sizeof(INNER_IPV4));
		packet[9] = 1;
		packet[20] = (uint8_t)type;
		assert_int_equal(build(packet, sizeof(INNER_IPV4), 1240, answer) > 0, query);

		bool informational = type >= 128 && type != 137;
		memcpy(packet, INNER_IPV6, sizeof(INNER_IPV6));
		packet[6] = 58;
		packet[40] = (uint8_t)type;
		assert_int_equal(build(packet, sizeof(INNER_IPV6), 1300, answer) > 0,
				 informational);
	}
	// Whose type is not there.
	memcpy(packet, INNER_IPV4, sizeof(INNER_IPV4));
	packet[9] = 1;
	assert_refused(packet, 20, 1240);
	memcpy(packet, INNER_IPV6, sizeof(INNER_IPV6));
	packet[6] = 58;
	assert_refused(packet, 40, 1300);
}

static void extension_headers_hide_nothing(void **state)
{
	(void)state;
	const struct {
		uint8_t first;
		uint8_t headers[32];
		bool answered;
	} cases[] = {
		{0, {58, 0, [8] = 1}, false},		      // hop-by-hop, an error
		{0, {58, 0, [8] = 128}, true},		      // an echo
		{60, {43, 1, [16] = 58, 0, [24] = 3}, false}, // options of 16, routing
		{51, {58, 1, [12] = 2}, false},		      // authentication of 12
		{51, {58, 1, [12] = 129}, true},
		{44, {58, 0, 0, 1, [8] = 4}, false}, // the first fragment of an error
		{44, {17, 0, 0, 1, [8] = 4}, true},  // of a datagram
		{44, {17, 0, 0, 8, [8] = 4}, false}, // a later one
		{0, {58, 4}, false},		     // ends behind the packet
		{0, {0, 0, [8] = 0, 0, [16] = 0, 0, [24] = 58}, false}, // type is not there
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t packet[40 + 32], answer[TOOBIG_MAX];
		memcpy(packet, INNER_IPV6, 40);
		packet[6] = cases[i].first;
		memcpy(packet + 40, cases[i].headers, 32);
		assert_int_equal(build(packet, sizeof(packet), 1300, answer) > 0,
				 cases[i].answered);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_what_scapy_builds),
		cmocka_unit_test(long_packets_are_quoted_in_part),
		cmocka_unit_test(a_size_that_nobody_believes_is_not_sent),
		cmocka_unit_test(what_may_be_cut_and_later_fragments_get_none),
		cmocka_unit_test(only_one_host_is_told),
		cmocka_unit_test(errors_are_not_answered),
		cmocka_unit_test(extension_headers_hide_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
