// SPDX-License-Identifier: Apache-2.0
// Every piece of a cut must be, byte for byte, what the slow reference builds.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tun/cut.h"
#include "unit/packet_fixture.h"

#define FIN 0x01u
#define PSH 0x08u
#define ACK 0x10u
#define ECE 0x40u
#define CWR 0x80u

static uint8_t frame[VNET_HEADER + PACKET_FIXTURE_MAX], payload[PACKET_FIXTURE_MAX],
	expected[PACKET_FIXTURE_MAX];

static int fill_payload(void **state)
{
	uint64_t seed = 1;
	(void)state;
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)packet_random(&seed);
	return 0;
}

static size_t put(const struct packet_spec *spec, size_t payload_size, size_t segment)
{
	packet_vnet(spec, segment, frame);
	return packet_build(spec, payload, payload_size, frame + VNET_HEADER);
}

// The piece that carries payload [offset, offset + size), the `position`-th, built by the reference.
static struct packet_spec piece_spec(const struct packet_spec *whole, size_t offset,
				     unsigned position, bool last)
{
	struct packet_spec spec = *whole;
	spec.id = (uint16_t)(spec.id + position);
	spec.sequence += (uint32_t)offset;
	if (!last)
		spec.flags &= (uint8_t) ~(FIN | PSH);
	if (position > 0)
		spec.flags &= (uint8_t)~CWR;
	return spec;
}

static void check_cut(const struct packet_spec *spec, size_t payload_size, size_t segment,
		      size_t gso_size, size_t mtu)
{
	struct cut cut;
	size_t size = put(spec, payload_size, gso_size);
	assert_int_equal(cut_begin(&cut, frame, size, mtu), DROP_NONE);
	assert_int_equal(cut.count, (payload_size + segment - 1) / segment);
	assert_true(cut.partial);
	for (unsigned i = 0; i < cut.count; i++) {
		size_t offset = i * segment, piece_size;
		bool last = i + 1 == cut.count;
		struct packet_spec part = piece_spec(spec, offset, i, last);
		size_t expected_size = packet_build(
			&part, payload + offset, last ? payload_size - offset : segment, expected);
		const uint8_t *piece = cut_piece(&cut, i, &piece_size);
		assert_int_equal(piece_size, expected_size);
		assert_memory_equal(piece, expected, expected_size);
	}
}

static struct packet_spec random_spec(uint64_t *seed)
{
	uint32_t dice = packet_random(seed);
	struct packet_spec spec = {
		.ipv4 = dice & 1,
		.udp = (dice >> 1 & 3) == 0,
		.partial = true,
		.tos = (uint8_t)(dice >> 3),
		.ttl = (uint8_t)(dice >> 11),
		.dont_fragment = dice >> 19 & 1,
		.id = (uint16_t)packet_random(seed),
		.flow_label = packet_random(seed) & 0xfffff,
		.host = (uint8_t)(dice >> 20),
		.source = (uint16_t)packet_random(seed),
		.destination = (uint16_t)packet_random(seed),
		.sequence = packet_random(seed),
		.acknowledgement = packet_random(seed),
		.flags = (uint8_t)(ACK | (packet_random(seed) & (FIN | PSH | ECE | CWR))),
		.window = (uint16_t)packet_random(seed),
		.options = (uint8_t)(packet_random(seed) % 11 * 4),
		.option = (uint8_t)packet_random(seed),
	};
	if (spec.udp)
		spec.options = 0;
	return spec;
}

static void super_packets_are_cut_as_the_reference_says(void **state)
{
	uint64_t seed = 42;

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		struct packet_spec spec = random_spec(&seed);
		size_t room = 65535 - packet_headers(&spec);
		size_t segment = 1 + packet_random(&seed) % (round % 4 ? 1460 : 60);
		size_t size = segment + 1 + packet_random(&seed) % (segment * 60);
		size = size < room ? size : room;
		check_cut(&spec, size, segment, segment, 65535);
	}
}

static void exact_and_odd_tails(void **state)
{
	struct packet_spec spec = {.ipv4 = true, .partial = true, .flags = ACK | PSH | FIN | CWR};

	(void)state;
	for (size_t tail = 0; tail < 5; tail++) {
		check_cut(&spec, 4000 + tail, 1000, 1000, 65535);
		check_cut(&spec, 1000 + tail, 1, 1, 65535);
	}
	// The sequence number and the id go round.
	spec.sequence = 0xffffff00;
	spec.id = 0xffff;
	check_cut(&spec, 65000, 1368, 1368, 65535);
}

// A link with a tag or two in its frames is 4 or 8 bytes off what everybody else's carries, and a tunnel's own overhead makes odd sizes of all.
static void sizes_of_links_with_tags(void **state)
{
	static const size_t links[] = {1280, 1492, 1496, 1500, 1504, 1508, 8996, 9000, 9004};
	static const size_t overheads[] = {0, 60, 80}; // of an IPv4 and an IPv6 outside
	uint64_t seed = 3;

	(void)state;
	for (unsigned i = 0; i < 9 * 3 * 9; i++) {
		struct packet_spec spec = random_spec(&seed);
		size_t mtu = links[i / 3 % 9] - overheads[i % 3];
		size_t host_mtu = links[i / 27];
		size_t most = mtu - packet_headers(&spec);
		size_t segment = host_mtu - packet_headers(&spec);
		if (segment > most && spec.udp)
			continue;
		check_cut(&spec, 4 * segment + 1, segment < most ? segment : most, segment, mtu);
		check_cut(&spec, 4 * segment, segment < most ? segment : most, segment, mtu);
	}
}

static void a_shorter_path_means_shorter_segments_of_tcp(void **state)
{
	uint64_t seed = 7;

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		struct packet_spec spec = random_spec(&seed);
		size_t headers = packet_headers(&spec),
		       mtu = headers + 1 + packet_random(&seed) % 900;
		struct cut cut;
		spec.udp = false;
		headers = packet_headers(&spec);
		mtu = headers + 1 + packet_random(&seed) % 900;
		check_cut(&spec, 20000, mtu - headers, 1368, mtu);
		// Also where the kernel handed over a single packet.
		size_t size = put(&spec, 1400, 0);
		assert_int_equal(cut_begin(&cut, frame, size, mtu), DROP_NONE);
		check_cut(&spec, 1400, mtu - headers, 0, mtu);
		spec.udp = true;
		spec.options = 0;
		size = put(&spec, 20000, 1368);
		assert_int_equal(cut_begin(&cut, frame, size, 1300), DROP_SIZE);
	}
}

static void what_is_one_packet_stays_as_it_is(void **state)
{
	struct packet_spec spec = {.ipv4 = true, .flags = ACK};
	struct cut cut;
	size_t size, piece_size;

	(void)state;
	for (unsigned kind = 0; kind < 8; kind++) {
		spec.partial = kind & 1;
		spec.udp = kind & 2;
		spec.ipv4 = kind & 4;
		size = put(&spec, 1000, 0);
		packet_build(&spec, payload, 1000, expected);
		assert_int_equal(cut_begin(&cut, frame, size, 1420), DROP_NONE);
		assert_int_equal(cut.count, 1);
		assert_int_equal(cut.partial, spec.partial);
		assert_memory_equal(cut_piece(&cut, 0, &piece_size), expected, size);
		assert_int_equal(piece_size, size);
	}
}

// What the far end could not find again is completed here: a partial checksum in a packet with IPv4 options, for one.
static void an_unusual_partial_checksum_is_completed(void **state)
{
	struct packet_spec spec = {.ipv4 = true, .udp = true, .partial = true};
	uint8_t *packet = frame + VNET_HEADER;
	struct cut cut;
	uint16_t start = 24;

	(void)state;
	size_t size = put(&spec, 1000, 0);
	memmove(packet + 24, packet + 20, size - 20);
	memset(packet + 20, 1, 4); // four times "no operation"
	packet[0] = 0x46;
	transport_put_size(packet, 24, size + 4);
	memcpy(frame + 6, &start, 2);
	assert_int_equal(cut_begin(&cut, frame, size + 4, 1420), DROP_NONE);
	assert_true(cut.partial); // UDP behind options can be found
	// An offset that is not that of UDP's checksum.
	uint16_t offset = 4;
	memcpy(frame + 8, &offset, 2);
	assert_int_equal(cut_begin(&cut, frame, size + 4, 1420), DROP_NONE);
	assert_false(cut.partial);
	uint16_t beyond = 2000;
	memcpy(frame + 6, &beyond, 2);
	assert_int_equal(cut_begin(&cut, frame, size + 4, 1420), DROP_MALFORMED);
}

static void headers_that_do_not_fit_together(void **state)
{
	static const struct {
		size_t at;
		uint16_t value;
	} wrong[] = {
		{0, 0x0100}, // no checksum to complete
		{0, 0x0401}, // TCP over IPv6
		{0, 0x0501}, // UDP
		{0, 0x0301}, // UDP fragmentation, long gone
		{4, 0},	     // segments of nothing
		{6, 40},     // checksum begins elsewhere
		{8, 6},	     // is elsewhere
	};
	struct packet_spec spec = {.ipv4 = true, .partial = true, .flags = ACK};
	struct cut cut;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		size_t size = put(&spec, 5000, 1000);
		memcpy(frame + wrong[i].at, &wrong[i].value, 2);
		assert_int_equal(cut_begin(&cut, frame, size, 1420), DROP_MALFORMED);
	}
	size_t size = put(&spec, 0, 1000);
	assert_int_equal(cut_begin(&cut, frame, size, 1420), DROP_MALFORMED);
}

// --- fragments

// Puts the fragments of a cut together again.
static size_t reassemble(struct cut *cut, size_t mtu, uint8_t *whole, unsigned first_offset,
			 bool more)
{
	size_t end = 20, size;
	for (unsigned i = 0; i < cut->count; i++) {
		const uint8_t *piece = cut_piece(cut, i, &size);
		unsigned word = get16(piece + 6);
		assert_true(size <= mtu);
		assert_int_equal(get16(piece + 2), size);
		assert_int_equal(checksum_add(0, piece, 20), 0xffff);
		assert_int_equal((word & 0x1fff) * 8, first_offset + end - 20);
		assert_int_equal(word >> 13, i + 1 < cut->count || more);
		if (i == 0)
			memcpy(whole, piece, 20);
		memcpy(whole + end, piece + 20, size - 20);
		end += size - 20;
	}
	return end;
}

static void a_packet_that_may_be_is_fragmented(void **state)
{
	static uint8_t whole[PACKET_FIXTURE_MAX];
	struct packet_spec spec = {.ipv4 = true, .udp = true, .partial = true, .id = 77};
	struct cut cut;

	(void)state;
	for (size_t mtu = 68; mtu < 1500; mtu += 131) {
		size_t size = put(&spec, 4001, 0);
		assert_int_equal(cut_begin(&cut, frame, size, mtu), DROP_NONE);
		assert_false(cut.partial);
		assert_int_equal(reassemble(&cut, mtu, whole, 0, false), size);
		put16(whole + 2, size);
		put16(whole + 6, 0);
		transport_put_size(whole, 20, size);
		assert_true(packet_sums_right(whole, size));
		assert_memory_equal(whole + 28, payload, 4001);
	}
	// A fragment of a fragment.
	size_t size = put(&(struct packet_spec){.ipv4 = true, .udp = true}, 3000, 0);
	put16(frame + VNET_HEADER + 6, 0x2000 | 100);
	transport_put_size(frame + VNET_HEADER, 20, size);
	assert_int_equal(cut_begin(&cut, frame, size, 1000), DROP_NONE);
	assert_int_equal(reassemble(&cut, 1000, whole, 800, true), size);
}

static void what_may_not_be_fragmented_is_refused(void **state)
{
	struct packet_spec spec = {.ipv4 = true, .udp = true, .dont_fragment = true};
	struct cut cut;

	(void)state;
	assert_int_equal(cut_begin(&cut, frame, put(&spec, 2000, 0), 1420), DROP_SIZE);
	spec.ipv4 = false;
	assert_int_equal(cut_begin(&cut, frame, put(&spec, 2000, 0), 1420), DROP_SIZE);
	spec.udp =
		false; // TCP whose checksum is complete: somebody else's, it may be wrong, and stays so
	assert_int_equal(cut_begin(&cut, frame, put(&spec, 2000, 0), 1420), DROP_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(super_packets_are_cut_as_the_reference_says),
		cmocka_unit_test(exact_and_odd_tails),
		cmocka_unit_test(sizes_of_links_with_tags),
		cmocka_unit_test(a_shorter_path_means_shorter_segments_of_tcp),
		cmocka_unit_test(what_is_one_packet_stays_as_it_is),
		cmocka_unit_test(an_unusual_partial_checksum_is_completed),
		cmocka_unit_test(headers_that_do_not_fit_together),
		cmocka_unit_test(a_packet_that_may_be_is_fragmented),
		cmocka_unit_test(what_may_not_be_fragmented_is_refused),
	};
	return cmocka_run_group_tests(tests, fill_payload, NULL);
}
