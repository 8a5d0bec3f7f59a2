// SPDX-License-Identifier: Apache-2.0
// Datagrams in pieces, of which only the first has ports.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tun/dataplane.h"
#include "tun/route.h"
#include "tun/transport.h"
#include "unit/pass_fixture.h"

#define UDP	   IPPROTO_UDP
#define RULES(...) pass_rules(world, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static struct pass_world *world;

static int set_up(void **state)
{
	(void)state;
	world = pass_world_new();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	world = pass_world_free(world);
	return 0;
}

// Makes the packet one piece of 44 bytes in all, which begins at `offset` of the whole; more follow.
static void cut_out(uint8_t packet[PASS_MAX], uint16_t id, unsigned offset)
{
	put16(packet + 4, id);
	put16(packet + 6, 0x2000 | offset / 8);
	transport_put_size(packet, 20, 44);
}

// The first piece of a datagram to PASS_HOST, and one behind it.
static void make_pieces(uint16_t port, uint16_t id, uint8_t first[PASS_MAX],
			uint8_t later[PASS_MAX])
{
	size_t size = pass_packet(first, PASS_ALICE, PASS_HOST, UDP, 5000, port, 0);
	memset(first + size, 0, 16);
	put16(first + 24, 100); // length of the whole
	cut_out(first, id, 0);
	memcpy(later, first, 44);
	cut_out(later, id, 24);
}

static void a_fragment_passes_as_the_first_one(void **state)
{
	uint8_t first[PASS_MAX], later[PASS_MAX];

	(void)state;
	RULES("allow alice net udp/53");
	for (uint16_t allowed = 0; allowed < 2; allowed++) {
		enum drop verdict = allowed ? DROP_NONE : DROP_POLICY;
		make_pieces(allowed ? 53 : 54, allowed, first, later);
		pass_flush(world->worker);
		assert_int_equal(pass_packet_judge(world, later, 44, NULL), DROP_FRAGMENT);
		assert_int_equal(pass_packet_judge(world, first, 44, NULL), verdict);
		assert_int_equal(pass_packet_judge(world, later, 44, NULL), verdict);
	}
}

static void a_fragment_passes_while_its_flow_may(void **state)
{
	uint8_t first[PASS_MAX], later[PASS_MAX];

	(void)state;
	RULES("allow alice net udp/53");
	for (uint16_t id = 0; id < 3; id++) {
		make_pieces(53, id, first, later);
		assert_int_equal(pass_packet_judge(world, first, 44, NULL), DROP_NONE);
	}
	// What still allows it loses nothing, whatever allows it.
	RULES("allow alice net udp/54", "allow any net udp/53");
	cut_out(later, 0, 24);
	assert_int_equal(pass_packet_judge(world, later, 44, NULL), DROP_NONE);
	RULES("allow alice net udp/54");
	cut_out(later, 1, 24);
	assert_int_equal(pass_packet_judge(world, later, 44, NULL), DROP_FRAGMENT);
	// Nor does it pass when the flow may begin again: its first piece has not been judged by this.
	RULES("allow alice net udp/53");
	cut_out(later, 2, 24);
	assert_int_equal(pass_packet_judge(world, later, 44, NULL), DROP_FRAGMENT);
	// No filter in between makes no difference.
	make_pieces(53, 3, first, later);
	assert_int_equal(pass_packet_judge(world, first, 44, NULL), DROP_NONE);
	pass_flush(world->worker);
	assert_int_equal(dataplane_set_filter(world->dataplane, NULL), 0);
	RULES("allow alice net udp/54");
	assert_int_equal(pass_packet_judge(world, later, 44, NULL), DROP_FRAGMENT);
}

static void a_fragment_goes_to_whom_the_first_one_went(void **state)
{
	uint8_t first[PASS_MAX], later[PASS_MAX], whole[PASS_MAX], error[PASS_MAX];
	struct addr addr;

	(void)state;
	RULES("allow alice bob udp/53");
	make_pieces(53, 1, first, later);
	assert_int_equal(addr_parse(PASS_BOB, &addr), 0);
	memcpy(first + 16, addr.bytes, 4);
	memcpy(later + 16, addr.bytes, 4);
	assert_int_equal(pass_packet_judge(world, first, 44, NULL), DROP_NONE);
	assert_int_equal(pass_packet_judge(world, later, 44, NULL), DROP_NONE);
	// An error of his about the same flow, in pieces.
	size_t size = pass_packet(whole, PASS_ALICE, PASS_BOB, UDP, 5000, 53, 0);
	memset(whole + size, 0, 12);
	put16(whole + 24, 20);
	transport_put_size(whole, 20, 40);
	size = pass_error(error, PASS_BOB, whole, 40);
	put16(error + 4, 7);
	put16(error + 6, 0x2000);
	assert_int_equal(pass_packet_judge(world, error, size, NULL), DROP_NONE);
	put16(error + 6, 0x2000 | (size - 20) / 8);
	assert_int_equal(pass_packet_judge(world, error, size, NULL), DROP_NONE);
	// Somebody else has his address.
	pass_flush(world->worker);
	struct prefix prefix = prefix_of(&addr);
	routes_remove(dataplane_routes(world->dataplane), world->bob, NULL, 0);
	assert_int_equal(routes_add(dataplane_routes(world->dataplane), &prefix, 1, world->carol),
			 0);
	cut_out(later, 1, 48);
	assert_int_equal(pass_packet_judge(world, later, 44, NULL), DROP_FRAGMENT);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_fragment_passes_as_the_first_one),
		CASE(a_fragment_passes_while_its_flow_may),
		CASE(a_fragment_goes_to_whom_the_first_one_went),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
