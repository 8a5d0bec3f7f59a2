// SPDX-License-Identifier: Apache-2.0
// The short way: from one session into another, without the kernel.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tun/cut.h"
#include "tun/egress.h"
#include "tun/ingress.h"
#include "tun/session.h"
#include "tun/transport.h"
#include "tun/worker.h"
#include "unit/packet_fixture.h"
#include "unit/pass_fixture.h"

#define SYN	   0x02
#define ACK	   0x10
#define TCP	   IPPROTO_TCP
#define UDP	   IPPROTO_UDP
#define DF	   0x4000
#define RULES(...) pass_rules(world, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static struct pass_world *world;
static uint8_t packet[PASS_MAX], sent[PASS_MAX];

static int set_up(void **state)
{
	(void)state;
	world = pass_world_new();
	pass_connect(world->alice);
	pass_connect(world->bob);
	RULES("allow alice bob any", "allow any net any");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	world = pass_world_free(world);
	return 0;
}

static uint64_t drops(const struct session *session, enum drop drop)
{
	return atomic_load(&session->drops[drop]);
}

// A UDP packet of `size` bytes with a zero checksum, which means none.
static void make_udp(const char *from, const char *to, size_t size, unsigned fragment)
{
	memset(packet, 0x5a, sizeof(packet));
	pass_packet(packet, from, to, UDP, 5000, 6000, 0);
	put16(packet + 24, size - 20);
	put16(packet + 6, fragment);
	transport_put_size(packet, 20, size);
}

static void a_packet_goes_from_peer_to_peer(void **state)
{
	uint8_t flags;

	(void)state;
	make_udp(PASS_ALICE, PASS_BOB, 500, 0);
	pass_arrive(world, world->alice, packet, 500, 0, 0);
	assert_int_equal(pass_sent(world, world->bob, 0, sent, &flags), 500);
	assert_int_equal(flags, 0);
	// As after a router (RFC 1812, 5.3.1): one hop less, and a header checksum that is right.
	assert_int_equal(sent[8], packet[8] - 1);
	assert_int_equal(checksum_add(0, sent, 20), 0xffff);
	sent[8]++;
	memcpy(sent + 10, packet + 10, 2);
	assert_memory_equal(sent, packet, 500);
	assert_int_equal(pass_sent(world, world->bob, 1, sent, &flags), 0);
	ingress_flush(world->worker);
	assert_int_equal(pass_read_tun(world, sent, sizeof(sent)), 0);
	// And back, by its flow.
	make_udp(PASS_BOB, PASS_ALICE, 100, 0);
	put16(packet + 20, 6000);
	put16(packet + 22, 5000);
	pass_arrive(world, world->bob, packet, 100, 0, 0);
	assert_int_equal(pass_sent(world, world->alice, 0, sent, &flags), 100);
	// What no rule allows, does not.
	put16(packet + 20, 6001);
	pass_arrive(world, world->bob, packet, 100, 0, 0);
	assert_int_equal(drops(world->bob, DROP_POLICY), 1);
}

static void many_leave_in_one_piece(void **state)
{
	uint8_t flags;

	(void)state;
	make_udp(PASS_ALICE, PASS_BOB, 1300, 0);
	for (unsigned i = 0; i < 20; i++) {
		packet[100] = (uint8_t)i;
		pass_arrive(world, world->alice, packet, 1300, 0, 0);
	}
	assert_int_equal(world->worker->out.count, 1);
	assert_int_equal(world->worker->out.runs[0].count, 20);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(pass_sent(world, world->bob, i, sent, &flags), 1300);
		assert_int_equal(sent[100], i);
	}
}

static void nothing_goes_back_where_it_comes_from(void **state)
{
	struct prefix more;

	(void)state;
	RULES("allow any any any");
	assert_int_equal(prefix_parse("10.91.0.0/16", &more), 0);
	assert_int_equal(routes_add(dataplane_routes(world->dataplane), &more, 1, world->alice), 0);
	make_udp(PASS_ALICE, "10.91.0.1", 100, 0);
	pass_arrive(world, world->alice, packet, 100, 0, 0);
	assert_int_equal(drops(world->alice, DROP_ROUTE), 1);
	assert_int_equal(world->worker->out.count, 0);
	ingress_flush(world->worker);
	assert_int_equal(pass_read_tun(world, sent, sizeof(sent)), 0);
}

// This host may have addresses and networks of its own within what it dialled for.
static void where_a_link_is_the_kernel_decides(void **state)
{
	(void)state;
	RULES("allow any any any", "inbound allow any any any");
	pass_connect(world->link);
	make_udp(PASS_ALICE, PASS_FAR, 100, 0);
	pass_arrive(world, world->alice, packet, 100, 0, 0);
	make_udp(PASS_FAR, PASS_ALICE, 100, 0);
	pass_arrive(world, world->link, packet, 100, 0, 0);
	assert_int_equal(world->worker->out.count, 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pass_read_tun(world, sent, sizeof(sent)), VNET_HEADER + 100);
}

static void what_does_not_fit_is_cut_or_answered(void **state)
{
	uint8_t flags;

	(void)state;
	atomic_store(&world->bob->mtu, 1000);
	make_udp(PASS_ALICE, PASS_BOB, 1300, 0);
	pass_arrive(world, world->alice, packet, 1300, 0, 0);
	assert_int_equal(pass_sent(world, world->bob, 0, sent, &flags), 20 + 976);
	assert_int_equal(get16(sent + 6), 0x2000);
	assert_int_equal(pass_sent(world, world->bob, 1, sent, &flags), 20 + 304);
	assert_int_equal(get16(sent + 6), 976 / 8);
	assert_int_equal(pass_sent(world, world->alice, 0, sent, &flags), 0);
	pass_forget(world);
	make_udp(PASS_ALICE, PASS_BOB, 1300, DF);
	pass_arrive(world, world->alice, packet, 1300, 0, 0);
	assert_int_equal(drops(world->bob, DROP_SIZE), 1);
	assert_int_equal(pass_sent(world, world->bob, 0, sent, &flags), 0);
	// From bob, in whose name the gateway speaks; with what fits (RFC 1191, 4).
	assert_true(pass_sent(world, world->alice, 0, sent, &flags) > 56);
	assert_memory_equal(sent + 12, packet + 16, 4);
	assert_memory_equal(sent + 16, packet + 12, 4);
	assert_int_equal(sent[20], 3);
	assert_int_equal(sent[21], 4);
	assert_int_equal(get16(sent + 26), 1000);
	// So often, and no more often.
	pass_forget(world);
	unsigned answers = 0;
	for (unsigned i = 0; i < 100; i++) {
		pass_arrive(world, world->alice, packet, 1300, 0, 0);
		answers += pass_sent(world, world->alice, 0, sent, &flags) > 0;
		pass_forget(world);
	}
	assert_in_range(answers, 1, 25);
}

static void partial_checksums_and_segments_stay_as_they_are(void **state)
{
	struct packet_spec spec = {.ipv4 = true,
				   .partial = true,
				   .ttl = 64,
				   .flags = ACK,
				   .source = 40000,
				   .destination = 443};
	uint8_t payload[1000], flags;

	(void)state;
	memset(payload, 7, sizeof(payload));
	size_t size = packet_build(&spec, payload, sizeof(payload), packet);
	struct addr addr;
	addr_parse(PASS_ALICE, &addr);
	memcpy(packet + 12, addr.bytes, 4);
	addr_parse(PASS_BOB, &addr);
	memcpy(packet + 16, addr.bytes, 4);
	transport_put_size(packet, 20, size);
	pass_arrive(world, world->alice, packet, size, PACKET_FLAG_PARTIAL, 0);
	assert_int_equal(pass_sent(world, world->bob, 0, sent, &flags), size);
	assert_int_equal(flags, PACKET_FLAG_PARTIAL);
	assert_memory_equal(sent + 20, packet + 20, size - 20);
	// A path that carries less: TCP is cut, for nobody needs to know.
	pass_forget(world);
	atomic_store(&world->bob->mtu, 800);
	pass_arrive(world, world->alice, packet, size, PACKET_FLAG_PARTIAL, 0);
	assert_int_equal(pass_sent(world, world->bob, 0, sent, &flags), 800);
	assert_int_equal(pass_sent(world, world->bob, 1, sent, &flags), 40 + 1000 - 760);
	assert_int_equal(get32(sent + 24), get32(packet + 24) + 760);
	assert_int_equal(drops(world->bob, DROP_SIZE), 0);
	// Where it is partial, but nobody can tell where.
	make_udp(PASS_ALICE, PASS_BOB, 100, 0);
	packet[9] = 253;
	transport_put_size(packet, 20, 100);
	pass_arrive(world, world->alice, packet, 100, PACKET_FLAG_PARTIAL, 0);
	assert_int_equal(drops(world->alice, DROP_MALFORMED), 1);
}

static void a_handshake_promises_what_both_paths_carry(void **state)
{
	uint8_t flags;

	(void)state;
	atomic_store(&world->bob->mtu, 1300);
	pass_packet(packet, PASS_ALICE, PASS_BOB, TCP, 40000, 443, SYN);
	packet[32] = 0x60;
	memcpy(packet + 40, (uint8_t[]){2, 4, 1460 >> 8, 1460 & 255}, 4);
	transport_put_size(packet, 20, 44);
	pass_arrive(world, world->alice, packet, 44, 0, 0);
	assert_int_equal(pass_sent(world, world->bob, 0, sent, &flags), 44);
	assert_int_equal(get16(sent + 42), 1300 - 40);
}

static void congestion_on_the_way_here_is_told_there(void **state)
{
	uint8_t flags;

	(void)state;
	make_udp(PASS_ALICE, PASS_BOB, 100, 0);
	pass_arrive(world, world->alice, packet, 100, 0, ECN_CE);
	assert_int_equal(drops(world->alice, DROP_CONGESTION), 1);
	packet[1] = ECN_ECT_0;
	transport_put_size(packet, 20, 100);
	pass_arrive(world, world->alice, packet, 100, 0, ECN_CE);
	assert_int_equal(pass_sent(world, world->bob, 0, sent, &flags), 100);
	assert_int_equal(sent[1], ECN_CE);
	assert_int_equal(world->worker->out.runs[0].ecn, ECN_CE);
}

static void a_packet_ends_with_its_last_hop(void **state)
{
	uint8_t flags;

	(void)state;
	make_udp(PASS_ALICE, PASS_BOB, 100, 0);
	packet[8] = 1;
	transport_put_size(packet, 20, 100);
	pass_arrive(world, world->alice, packet, 100, 0, 0);
	assert_int_equal(drops(world->alice, DROP_TTL), 1);
	assert_int_equal(pass_sent(world, world->bob, 0, sent, &flags), 0);
	assert_true(pass_sent(world, world->alice, 0, sent, &flags) >= 56);
	assert_int_equal(sent[20], 11);
	assert_memory_equal(sent + 28 + 12, packet + 12, 16);
}

static void a_refusal_is_told_to_who_may_hear_it(void **state)
{
	uint8_t flags;

	(void)state;
	RULES("deny alice bob tcp/25 reject", "deny alice bob tcp/26", "allow alice bob udp/1");
	size_t size = pass_packet(packet, PASS_ALICE, PASS_BOB, TCP, 40000, 25, SYN);
	put32(packet + 24, 77);
	pass_arrive(world, world->alice, packet, size, 0, 0);
	assert_int_equal(drops(world->alice, DROP_POLICY), 1);
	// A reset, as if nobody listened there (RFC 9293, 3.10.7.1), which passes a filter on the other side by the flow.
	assert_int_equal(pass_sent(world, world->alice, 0, sent, &flags), 40);
	assert_memory_equal(sent + 12, packet + 16, 4);
	assert_int_equal(sent[33], 0x14);
	assert_int_equal(get32(sent + 28), 78);
	pass_forget(world);
	size = pass_packet(packet, PASS_ALICE, PASS_BOB, TCP, 40000, 26, SYN);
	pass_arrive(world, world->alice, packet, size, 0, 0);
	assert_int_equal(world->worker->out.count, 0);
	make_udp(PASS_ALICE, PASS_BOB, 100, 0);
	pass_arrive(world, world->alice, packet, 100, 0, 0);
	assert_true(pass_sent(world, world->alice, 0, sent, &flags) >= 56);
	assert_int_equal(sent[20], 3);
	assert_int_equal(sent[21], 13);
	assert_int_equal(pass_sent(world, world->bob, 0, sent, &flags), 0);
}

// Packets of a TCP stream into the network, which grow to one, between others that take the short way.
static void what_is_being_joined_is_not_touched(void **state)
{
	struct packet_spec spec = {.ipv4 = true,
				   .partial = true,
				   .ttl = 64,
				   .flags = ACK,
				   .source = 40000,
				   .destination = 443};
	static uint8_t frame[4 * PASS_MAX], payload[3000];
	uint8_t segment[PASS_MAX], flags;
	struct addr addr;

	(void)state;
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7 + i / 251);
	make_udp(PASS_ALICE, PASS_BOB, 1300, 0);
	for (unsigned i = 0; i < 3; i++) {
		spec.sequence = i * 1000;
		size_t size = packet_build(&spec, payload + i * 1000, 1000, segment);
		addr_parse(PASS_ALICE, &addr);
		memcpy(segment + 12, addr.bytes, 4);
		addr_parse(PASS_HOST, &addr);
		memcpy(segment + 16, addr.bytes, 4);
		transport_put_size(segment, 20, size);
		pass_arrive(world, world->alice, segment, size, PACKET_FLAG_PARTIAL, 0);
		pass_arrive(world, world->alice, packet, 1300, 0, 0);
	}
	ingress_flush(world->worker);
	assert_int_equal(pass_read_tun(world, frame, sizeof(frame)), VNET_HEADER + 40 + 3000);
	assert_memory_equal(frame + VNET_HEADER + 40, payload, 3000);
	assert_int_equal(pass_read_tun(world, frame, sizeof(frame)), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(pass_sent(world, world->bob, i, sent, &flags), 1300);
		assert_memory_equal(sent + 28, packet + 28, 1300 - 28);
	}
}

// As read from the TUN queue, into which who has an address there may write what he likes.
static enum drop from_network(const char *from, const char *to)
{
	struct inner inner;
	struct pass pass = {.inner = &inner, .packet = packet, .size = 100, .packets = 1};
	make_udp(from, to, 100, 0);
	assert_int_equal(inner_parse(packet, 100, &inner), DROP_NONE);
	pass.to = route_lookup(dataplane_routes(world->dataplane), &inner.destination);
	pass_flush(world->worker);
	return pass_judge(world->worker, &pass);
}

static void nobody_speaks_for_a_peer(void **state)
{
	(void)state;
	RULES("allow any any any");
	assert_int_equal(from_network(PASS_ALICE, PASS_BOB), DROP_SOURCE);
	assert_int_equal(from_network(PASS_HOST, PASS_BOB), DROP_NONE);
	// What a peer sends over a link comes by the TUN queue, and so does what comes over the link for a peer.
	assert_int_equal(from_network(PASS_ALICE, PASS_FAR), DROP_NONE);
	assert_int_equal(from_network(PASS_FAR, PASS_BOB), DROP_NONE);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_packet_goes_from_peer_to_peer),
		CASE(many_leave_in_one_piece),
		CASE(nothing_goes_back_where_it_comes_from),
		CASE(where_a_link_is_the_kernel_decides),
		CASE(what_does_not_fit_is_cut_or_answered),
		CASE(partial_checksums_and_segments_stay_as_they_are),
		CASE(a_handshake_promises_what_both_paths_carry),
		CASE(congestion_on_the_way_here_is_told_there),
		CASE(a_packet_ends_with_its_last_hop),
		CASE(a_refusal_is_told_to_who_may_hear_it),
		CASE(what_is_being_joined_is_not_touched),
		CASE(nobody_speaks_for_a_peer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
