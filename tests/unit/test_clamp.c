// SPDX-License-Identifier: Apache-2.0
// The MSS of handshakes: lowered where it must be, everything else left as it was, the checksum right afterwards.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tun/clamp.h"
#include "unit/packet_fixture.h"

#define SYN	0x02u
#define SYN_ACK 0x12u
#define ACK	0x10u

struct syn {
	uint8_t packet[256];
	size_t size;
	size_t tcp;	// offset of the TCP header
	size_t options; // bytes
};

// The field as the sum of everything else wants it, found by trying: no arithmetic to share an error with.
static void set_checksum(struct syn *syn)
{
	uint8_t *check = syn->packet + syn->tcp + 16;
	for (unsigned value = 0; value < 0x10000; value++) {
		check[0] = (uint8_t)(value >> 8);
		check[1] = (uint8_t)value;
		if (packet_sums_right(syn->packet, syn->size))
			return;
	}
	fail_msg("no checksum is right");
}

static struct syn syn_of(bool ipv4, uint8_t flags, const uint8_t *options, size_t size)
{
	struct packet_spec spec = {
		.ipv4 = ipv4,
		.ttl = 64,
		.host = 7,
		.source = 40000,
		.destination = 443,
		.sequence = 0x12345678,
		.flags = flags,
		.window = 64240,
		.options = (uint8_t)((size + 3) & ~(size_t)3),
		.option = 1,
	};
	struct syn syn = {.options = size, .tcp = ipv4 ? 20 : 40};
	syn.size = packet_build(&spec, NULL, 0, syn.packet);
	memcpy(syn.packet + syn.tcp + 20, options, size);
	set_checksum(&syn);
	return syn;
}

static unsigned mss_at(const struct syn *syn, size_t option)
{
	const uint8_t *at = syn->packet + syn->tcp + 20 + option + 2;
	return (unsigned)at[0] << 8 | at[1];
}

// In a block of exactly its size, so that a sanitizer sees who looks beyond.
static void assert_untouched(const struct syn *syn, unsigned mtu)
{
	uint8_t *exact = malloc(syn->size);
	assert_non_null(exact);
	memcpy(exact, syn->packet, syn->size);
	assert_false(clamp_mss(exact, syn->size, mtu, false));
	assert_memory_equal(exact, syn->packet, syn->size);
	free(exact);
}

static const uint8_t LINUX[] = {2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7};

static void a_handshake_fits_afterwards(void **state)
{
	(void)state;
	const uint8_t flags[] = {SYN, SYN_ACK, SYN | 0xc0};
	for (unsigned i = 0; i < 6; i++) {
		bool ipv4 = i % 2;
		for (unsigned mtu = 576; mtu < 1500; mtu += 3) {
			struct syn syn = syn_of(ipv4, flags[i / 2], LINUX, sizeof(LINUX));
			struct syn before = syn;
			unsigned most = mtu - (ipv4 ? 40 : 60);
			bool lower = most < 1460;
			assert_int_equal(clamp_mss(syn.packet, syn.size, mtu, false), lower);
			assert_int_equal(mss_at(&syn, 0), lower ? most : 1460);
			assert_true(packet_sums_right(syn.packet, syn.size));
			// Nothing but the value and the checksum.
			memcpy(syn.packet + syn.tcp + 16, before.packet + syn.tcp + 16, 2);
			memcpy(syn.packet + syn.tcp + 22, before.packet + syn.tcp + 22, 2);
			assert_memory_equal(syn.packet, before.packet, sizeof(before.packet));
			mtu += lower ? 90 : 0;
		}
	}
}

// A value at an odd offset lies across two words of the sum.
static void the_checksum_is_right_at_any_offset(void **state)
{
	(void)state;
	const uint16_t values[] = {1461, 0x8000, 0xff00, 0xfffe, 0xffff};
	for (size_t pad = 0; pad <= 4; pad++) {
		for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
			uint8_t options[8] = {1, 1, 1, 1, 1, 1, 1, 1};
			options[pad] = 2;
			options[pad + 1] = 4;
			options[pad + 2] = (uint8_t)(values[i] >> 8);
			options[pad + 3] = (uint8_t)values[i];
			struct syn syn = syn_of(i % 2, SYN, options, sizeof(options));
			assert_true(clamp_mss(syn.packet, syn.size, 1280, false));
			assert_int_equal(mss_at(&syn, pad), i % 2 ? 1240 : 1220);
			assert_true(packet_sums_right(syn.packet, syn.size));
		}
	}
}

static void a_partial_checksum_stays(void **state)
{
	(void)state;
	struct syn syn = syn_of(true, SYN, LINUX, sizeof(LINUX));
	uint8_t check[2];
	memcpy(check, syn.packet + 36, 2);
	assert_true(clamp_mss(syn.packet, syn.size, 1280, true));
	assert_int_equal(mss_at(&syn, 0), 1240);
	assert_memory_equal(syn.packet + 36, check, 2);
}

static void it_is_never_raised_nor_added(void **state)
{
	(void)state;
	const uint8_t none[] = {1, 1, 4, 2};
	const uint8_t small[] = {2, 4, 0, 100};
	const uint8_t exact[] = {2, 4, 0x04, 0xd8};
	struct syn syn = syn_of(true, SYN, none, sizeof(none));
	assert_untouched(&syn, 576);
	syn = syn_of(true, SYN, none, 0);
	assert_untouched(&syn, 576);
	syn = syn_of(true, SYN, small, sizeof(small));
	assert_untouched(&syn, 1280);
	syn = syn_of(true, SYN, exact, sizeof(exact));
	assert_untouched(&syn, 1280);
	// There is no room for a segment at all.
	syn = syn_of(true, SYN, LINUX, sizeof(LINUX));
	assert_untouched(&syn, 40);
	assert_untouched(&syn, 0);
}

static void every_value_of_several_is_lowered(void **state)
{
	(void)state;
	const uint8_t twice[] = {2, 4, 0x05, 0xb4, 2, 4, 0x22, 0xb0};
	struct syn syn = syn_of(true, SYN, twice, sizeof(twice));
	assert_true(clamp_mss(syn.packet, syn.size, 1280, false));
	assert_int_equal(mss_at(&syn, 0), 1240);
	assert_int_equal(mss_at(&syn, 4), 1240);
	assert_true(packet_sums_right(syn.packet, syn.size));
}

static void other_options_are_stepped_over(void **state)
{
	(void)state;
	const uint8_t before[][12] = {
		{4, 2, 1, 1, 1, 1, 1, 1, 2, 4, 0x05, 0xb4}, // the shortest: of two bytes
		{4, 2, 4, 2, 4, 2, 4, 2, 2, 4, 0x05, 0xb4},
		{3, 3, 7, 254, 5, 0, 0, 0, 2, 4, 0x05, 0xb4}, // what is inside is no END
		{253, 8, 2, 4, 0xff, 0xff, 0, 0, 2, 4, 0x05, 0xb4},
	};
	for (size_t i = 0; i < 2 * sizeof(before) / sizeof(before[0]); i++) {
		struct syn syn = syn_of(i % 2, SYN, before[i / 2], sizeof(before[0]));
		assert_true(clamp_mss(syn.packet, syn.size, 1280, false));
		assert_int_equal(mss_at(&syn, 8), i % 2 ? 1240 : 1220);
		assert_memory_equal(syn.packet + syn.tcp + 20, before[i / 2], 10);
		assert_true(packet_sums_right(syn.packet, syn.size));
	}
}

static void broken_options_end_the_walk(void **state)
{
	(void)state;
	const uint8_t broken[][8] = {
		{0, 2, 2, 4, 0xff, 0xff, 1, 1}, // behind the end
		{8, 0, 2, 4, 0xff, 0xff, 1, 1}, // no length
		{8, 1, 2, 4, 0xff, 0xff, 1, 1}, // shorter than itself
		{8, 9, 2, 4, 0xff, 0xff, 1, 1}, // longer than all
		{1, 1, 1, 1, 1, 1, 1, 2},	// kind without length
		{1, 1, 1, 1, 1, 2, 4, 0xff},	// cut off
		{2, 3, 0xff, 1, 1, 1, 1, 1},	// of another length
		{2, 6, 0xff, 0xff, 0xff, 0xff, 1, 1},
		{254, 6, 2, 4, 0xff, 0xff, 0, 0}, // inside another option
		{1, 1, 0, 1, 2, 4, 0xff, 0xff},	  // behind an end that follows others
		{254, 7, 1, 1, 1, 1, 1, 2},	  // kind without length, behind another option
		{254, 5, 1, 1, 1, 2, 4, 0xff},	  // cut off, likewise
	};
	for (size_t i = 0; i < 2 * sizeof(broken) / sizeof(broken[0]); i++) {
		struct syn syn = syn_of(i % 2, SYN, broken[i / 2], sizeof(broken[0]));
		assert_untouched(&syn, 1280);
	}
}

static void only_handshakes_in_one_piece_are_touched(void **state)
{
	(void)state;
	struct syn syn = syn_of(true, ACK, LINUX, sizeof(LINUX));
	assert_untouched(&syn, 1280);
	for (unsigned i = 0; i < 2; i++) {
		syn = syn_of(i, SYN, LINUX, sizeof(LINUX));
		syn.packet[i ? 9 : 6] = 17; // UDP
		assert_untouched(&syn, 1280);
		syn.packet[i ? 9 : 6] = 0; // an extension header
		assert_untouched(&syn, 1280);
	}
	syn = syn_of(true, SYN, LINUX, sizeof(LINUX));
	syn.packet[7] = 5; // a later fragment
	assert_untouched(&syn, 1280);
	// A header that ends behind the packet.
	syn = syn_of(true, SYN, LINUX, sizeof(LINUX));
	syn.size -= 4;
	assert_untouched(&syn, 1280);
	syn.size = 39;
	assert_untouched(&syn, 1280);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handshake_fits_afterwards),
		cmocka_unit_test(the_checksum_is_right_at_any_offset),
		cmocka_unit_test(a_partial_checksum_stays),
		cmocka_unit_test(it_is_never_raised_nor_added),
		cmocka_unit_test(every_value_of_several_is_lowered),
		cmocka_unit_test(other_options_are_stepped_over),
		cmocka_unit_test(broken_options_end_the_walk),
		cmocka_unit_test(only_handshakes_in_one_piece_are_touched),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
