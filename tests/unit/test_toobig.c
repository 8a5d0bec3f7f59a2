// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tun/inner.h"
#include "tun/toobig.h"
#include "tun/transport.h"
#include "unit/packet_fixture.h"

static uint8_t packet[3000], answer[TOOBIG_MAX];

static struct addr addr_of(const char *text)
{
	struct addr addr;
	assert_int_equal(addr_parse(text, &addr), 0);
	return addr;
}

static size_t make(bool ipv4, bool dont_fragment, size_t payload)
{
	struct packet_spec spec = {
		.ipv4 = ipv4, .udp = true, .dont_fragment = dont_fragment, .host = 9, .ttl = 64};
	static uint8_t bytes[2500];
	return packet_build(&spec, bytes, payload, packet);
}

static void an_ipv4_sender_is_told(void **state)
{
	struct addr source = addr_of("10.1.2.3");
	struct inner inner;

	(void)state;
	for (size_t payload = 0; payload < 2000; payload += 333) {
		size_t size = make(true, true, payload);
		size_t told = toobig_build(packet, size, 1240, &source, answer);
		size_t quote = size < 548 ? size : 548;
		assert_int_equal(told, 28 + quote);
		assert_true(inner_parse(answer, told, &inner));
		assert_true(addr_equal(&inner.source, &source));
		assert_memory_equal(inner.destination.bytes, packet + 12, 4);
		assert_int_equal(checksum_add(0, answer, 20), 0xffff);
		assert_int_equal(answer[9], 1);
		assert_int_equal(answer[20], 3);
		assert_int_equal(answer[21], 4);
		assert_int_equal(get16(answer + 26), 1240);
		assert_int_equal(checksum_add(0, answer + 20, told - 20), 0xffff);
		assert_memory_equal(answer + 28, packet, quote);
	}
}

static void an_ipv6_sender_is_told(void **state)
{
	struct addr source = addr_of("fd00::7");
	struct inner inner;
	uint8_t pseudo[40] = {0};

	(void)state;
	for (size_t payload = 0; payload < 2000; payload += 333) {
		size_t size = make(false, false, payload);
		size_t told = toobig_build(packet, size, 1400, &source, answer);
		size_t quote = size < 1232 ? size : 1232;
		assert_int_equal(told, 48 + quote);
		assert_true(inner_parse(answer, told, &inner));
		assert_true(addr_equal(&inner.source, &source));
		assert_memory_equal(inner.destination.bytes, packet + 8, 16);
		assert_int_equal(answer[6], 58);
		assert_int_equal(answer[40], 2);
		assert_int_equal(get32(answer + 44), 1400);
		memcpy(pseudo, answer + 8, 32);
		put16(pseudo + 34, told - 40);
		pseudo[39] = 58;
		uint16_t sum = checksum_add(0, pseudo, sizeof(pseudo));
		assert_int_equal(checksum_add(sum, answer + 40, told - 40), 0xffff);
		assert_memory_equal(answer + 48, packet, quote);
	}
}

static void who_is_not_told(void **state)
{
	struct addr v4 = addr_of("10.1.2.3"), v6 = addr_of("fd00::7");
	size_t size;

	(void)state;
	size = make(true, false, 1000); // it may be cut
	assert_int_equal(toobig_build(packet, size, 600, &v4, answer), 0);
	size = make(true, true, 1000);
	assert_int_equal(toobig_build(packet, size, 600, &v6, answer), 0);
	assert_int_equal(toobig_build(packet, size, 67, &v4, answer), 0);
	packet[7] = 1; // not the first fragment
	assert_int_equal(toobig_build(packet, size, 600, &v4, answer), 0);
	static const uint8_t nobody[][4] = {
		{0, 0, 0, 0}, {127, 0, 0, 1}, {224, 0, 0, 1}, {255, 255, 255, 255}};
	for (size_t i = 0; i < 4; i++) {
		size = make(true, true, 1000);
		memcpy(packet + 12, nobody[i], 4);
		assert_int_equal(toobig_build(packet, size, 600, &v4, answer), 0);
	}
	size = make(true, true, 1000);
	packet[9] = 1;	// ICMP
	packet[20] = 3; // an error is not answered by an error
	assert_int_equal(toobig_build(packet, size, 600, &v4, answer), 0);
	packet[20] = 8;
	assert_true(toobig_build(packet, size, 600, &v4, answer) > 0);

	size = make(false, false, 1500);
	assert_int_equal(toobig_build(packet, size, 1279, &v6, answer), 0);
	assert_int_equal(toobig_build(packet, size, 1400, &v4, answer), 0);
	packet[6] = 58;
	packet[40] = 1;
	assert_int_equal(toobig_build(packet, size, 1400, &v6, answer), 0);
	packet[40] = 128;
	assert_true(toobig_build(packet, size, 1400, &v6, answer) > 0);
	packet[8] = 0xff;
	assert_int_equal(toobig_build(packet, size, 1400, &v6, answer), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ipv4_sender_is_told),
		cmocka_unit_test(an_ipv6_sender_is_told),
		cmocka_unit_test(who_is_not_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
