// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "tun/inner.h"

#define PACKET_MAX 128u

// An exact copy on the heap, so that a sanitizer sees a read past the end.
static bool parses(const uint8_t *packet, size_t size, struct inner *ret)
{
	_cleanup_(freep) uint8_t *copy = malloc(size ? size : 1);
	assert_non_null(copy);
	memcpy(copy, packet, size);
	return inner_parse(copy, size, ret);
}

static void make_ipv4(uint8_t *packet, unsigned words, uint16_t total)
{
	static const uint8_t addresses[] = {10, 1, 2, 3, 192, 0, 2, 9};
	memset(packet, 0, PACKET_MAX);
	packet[0] = (uint8_t)(0x40 | words);
	packet[2] = (uint8_t)(total >> 8);
	packet[3] = (uint8_t)total;
	memcpy(packet + 12, addresses, sizeof(addresses));
}

static void make_ipv6(uint8_t *packet, uint16_t payload)
{
	memset(packet, 0, PACKET_MAX);
	packet[0] = 0x60;
	packet[4] = (uint8_t)(payload >> 8);
	packet[5] = (uint8_t)payload;
	for (uint8_t i = 0; i < 32; i++)
		packet[8 + i] = (uint8_t)(0x80 + i);
}

static void reads_addresses(void **state)
{
	uint8_t packet[PACKET_MAX];
	struct inner inner;
	struct addr addr;

	(void)state;
	memset(&inner, 0xff, sizeof(inner));
	make_ipv4(packet, 5, 28);
	assert_true(parses(packet, 28, &inner));
	assert_int_equal(addr_parse("10.1.2.3", &addr), 0);
	assert_true(addr_equal(&inner.source, &addr));
	assert_int_equal(addr_parse("192.0.2.9", &addr), 0);
	assert_true(addr_equal(&inner.destination, &addr));

	make_ipv6(packet, 8);
	assert_true(parses(packet, 48, &inner));
	assert_int_equal(addr_parse("8081:8283:8485:8687:8889:8a8b:8c8d:8e8f", &addr), 0);
	assert_true(addr_equal(&inner.source, &addr));
	assert_int_equal(addr_parse("9091:9293:9495:9697:9899:9a9b:9c9d:9e9f", &addr), 0);
	assert_true(addr_equal(&inner.destination, &addr));
}

static void try_ipv4(unsigned words, uint16_t size, bool right)
{
	uint8_t packet[PACKET_MAX];
	struct inner inner;
	make_ipv4(packet, words, size);
	if (parses(packet, size, &inner) != right)
		fail_msg("header of %u words in %u bytes", words, size);
}

static void wants_exact_ipv4_lengths(void **state)
{
	uint8_t packet[PACKET_MAX];
	struct inner inner;

	(void)state;
	for (unsigned words = 0; words < 16; words++)
		for (uint16_t size = 0; size <= PACKET_MAX; size++)
			try_ipv4(words, size, words >= 5 && size >= words * 4);
	for (uint16_t total = 0; total <= PACKET_MAX + 1; total++) {
		make_ipv4(packet, 5, total);
		assert_int_equal(parses(packet, 60, &inner), total == 60);
	}
	make_ipv4(packet, 5, 60);
	packet[2] = 1; // 256 more
	assert_false(parses(packet, 60, &inner));
}

static void wants_exact_ipv6_lengths(void **state)
{
	uint8_t packet[PACKET_MAX];
	struct inner inner;

	(void)state;
	for (uint16_t payload = 0; payload <= PACKET_MAX; payload++) {
		make_ipv6(packet, payload);
		for (size_t size = 0; size <= PACKET_MAX; size++)
			if (parses(packet, size, &inner) != (size == payload + 40u))
				fail_msg("payload %u in %zu bytes", payload, size);
	}
	make_ipv6(packet, 0xffff);
	assert_false(parses(packet, 40, &inner));
}

static void refuses_other_versions(void **state)
{
	uint8_t packet[PACKET_MAX];
	struct inner inner;

	(void)state;
	assert_false(inner_parse(NULL, 0, &inner));
	for (unsigned version = 0; version < 16; version++) {
		make_ipv4(packet, 5, 60);
		packet[0] = (uint8_t)(version << 4 | 5);
		assert_int_equal(parses(packet, 60, &inner), version == 4);
		make_ipv6(packet, 20);
		packet[0] = (uint8_t)(version << 4);
		assert_int_equal(parses(packet, 60, &inner), version == 6);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_addresses),
		cmocka_unit_test(wants_exact_ipv4_lengths),
		cmocka_unit_test(wants_exact_ipv6_lengths),
		cmocka_unit_test(refuses_other_versions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
