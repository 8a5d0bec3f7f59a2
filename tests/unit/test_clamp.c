// SPDX-License-Identifier: Apache-2.0
// The options of a SYN, in all the ways they may stand, and what must be left alone. Checksums are judged by the slow reference.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tun/clamp.h"
#include "unit/packet_fixture.h"

#define SYN 0x02u
#define ACK 0x10u
#define MTU 1280u

static uint8_t packet[200], before[200];

// A packet whose options are `options`, with a right checksum. Returns its size.
static size_t make(const struct packet_spec *shape, const uint8_t *options, size_t size)
{
	struct packet_spec spec = *shape;
	size_t ip = spec.ipv4 ? 20 : 40;
	spec.options = (uint8_t)((size + 3) & ~(size_t)3);
	uint8_t header[40] = {0};
	memcpy(header, options, size);
	// The reference fills options with one byte: they are put in as payload of a header without, which then is made longer.
	size_t whole = spec.options;
	spec.options = 0;
	size_t total = packet_build(&spec, header, whole, packet);
	uint16_t was = (uint16_t)(packet[ip + 12] << 8 | packet[ip + 13]);
	packet[ip + 12] = (uint8_t)((20 + whole) / 4 << 4);
	uint16_t is = (uint16_t)(packet[ip + 12] << 8 | packet[ip + 13]);
	if (!spec.partial) {
		uint32_t sum = (uint32_t)(uint16_t) ~(packet[ip + 16] << 8 | packet[ip + 17]);
		sum += (uint16_t)~was + (uint32_t)is;
		sum = (sum & 0xffff) + (sum >> 16);
		sum = (sum & 0xffff) + (sum >> 16);
		packet[ip + 16] = (uint8_t)(~sum >> 8);
		packet[ip + 17] = (uint8_t)~sum;
		assert_true(packet_sums_right(packet, total));
	}
	memcpy(before, packet, total);
	return total;
}

static void a_promise_is_lowered(void **state)
{
	static const struct {
		uint8_t options[16];
		size_t size, at; // of the value
	} cases[] = {
		{{2, 4, 0x05, 0xb4}, 4, 2},
		{{1, 2, 4, 0x05, 0xb4}, 5, 3}, // at an odd place
		{{3, 3, 7, 1, 8, 2, 2, 4, 0x05, 0xb4, 1, 1}, 12, 8},
		{{2, 4, 0x05, 0xb4, 0, 9, 9, 9}, 8, 2}, // behind the end anything may stand
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (unsigned kind = 0; kind < 4; kind++) {
			struct packet_spec spec = {
				.ipv4 = kind & 1, .partial = kind & 2, .flags = SYN, .window = 77};
			size_t ip = spec.ipv4 ? 20 : 40;
			size_t size = make(&spec, cases[i].options, cases[i].size);
			size_t at = ip + 20 + cases[i].at;
			assert_true(clamp_mss(packet, size, MTU, spec.partial));
			assert_int_equal(packet[at] << 8 | packet[at + 1], MTU - ip - 20);
			if (!spec.partial)
				assert_true(packet_sums_right(packet, size));
			// Nothing else changed but the checksum, where it is complete.
			memcpy(before + at, packet + at, 2);
			if (!spec.partial)
				memcpy(before + ip + 16, packet + ip + 16, 2);
			assert_memory_equal(packet, before, size);
			assert_false(clamp_mss(packet, size, MTU, spec.partial));
		}
	}
}

static void what_is_left_alone(void **state)
{
	static const uint8_t mss[] = {2, 4, 0x05, 0xb4}, small[] = {2, 4, 0x02, 0x00},
			     cut[] = {1, 1, 1, 2}, lies[] = {3, 9, 7, 1, 2, 4, 0x05, 0xb4},
			     zero[] = {3, 0, 2, 4, 0x05, 0xb4, 1, 1}, other[] = {2, 3, 0x05, 1};
	static const struct {
		const uint8_t *options;
		size_t size;
		uint8_t flags;
	} cases[] = {
		{mss, sizeof(mss), ACK},     // no SYN
		{small, sizeof(small), SYN}, // promises less
		{cut, sizeof(cut), SYN},     {lies, sizeof(lies), SYN},
		{zero, sizeof(zero), SYN},   {other, sizeof(other), SYN},
	};
	struct packet_spec spec = {.ipv4 = true, .udp = true};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct packet_spec tcp = {.ipv4 = true, .flags = cases[i].flags};
		size_t size = make(&tcp, cases[i].options, cases[i].size);
		assert_false(clamp_mss(packet, size, MTU, false));
		assert_memory_equal(packet, before, size);
	}
	size_t size = packet_build(&spec, before, 100, packet);
	assert_false(clamp_mss(packet, size, MTU, false));
	// A fragment may only look like one.
	spec.udp = false;
	spec.flags = SYN;
	size = make(&spec, mss, sizeof(mss));
	packet[6] = 0x20;
	assert_false(clamp_mss(packet, size, MTU, false));
	// A tunnel smaller than the headers.
	size = make(&spec, mss, sizeof(mss));
	assert_false(clamp_mss(packet, size, 40, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_promise_is_lowered),
		cmocka_unit_test(what_is_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
