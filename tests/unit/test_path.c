// SPDX-License-Identifier: Apache-2.0
// Where packets to a peer go: clients that move, NATs that forget, addresses that have not answered yet.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tun/path.h"
#include "unit/relay_fixture.h"

#define WORKERS 2u
#define MOVES	16u
#define LARGE	1300u // bytes of an MTU probe

static struct tunnel *tunnel;
static struct relay relay;

static int set_up(void **state)
{
	(void)state;
	tunnel = tunnel_new(WORKERS);
	relay_init(&relay, tunnel);
	tunnel_renew(tunnel, 1, clock_ms());
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tunnel = tunnel_free(tunnel);
	relay_done(&relay);
	return 0;
}

static void late_packets_arrive_but_lead_nowhere(void **state)
{
	struct datagram first, second, nothing;

	(void)state;
	relay_begin(&relay, "127.0.0.1:0");
	relay_catch_up(&relay, 0, 1, &first);
	relay_catch_up(&relay, 0, 2, &second);
	relay_give_up(&relay, &second);
	assert_true(tunnel_arrives(&tunnel->gateway, 2));
	int before = relay.far_fd;
	relay.far_fd = relay_open_socket("127.0.0.66:0");
	relay_give_up(&relay, &first);
	assert_true(tunnel_arrives(&tunnel->gateway, 1));
	tunnel_write_down(tunnel, 0, 3);
	assert_true(relay_take(&relay, before, TUNNEL_WAIT_MS, &nothing));
	assert_false(relay_take(&relay, relay.far_fd, 0, &nothing));
	close(before);
}

static void a_client_that_moves_is_followed(void **state)
{
	struct datagram datagram;

	(void)state;
	relay_begin(&relay, "127.0.0.1:0");
	for (uint32_t i = 1; i <= MOVES; i++) {
		close(relay.far_fd);
		relay.far_fd = relay_open_socket("127.0.0.1:0"); // as a NAT does
		relay_catch_up(&relay, 0, i, &datagram);
		relay_give_up(&relay, &datagram);
		assert_true(tunnel_arrives(&tunnel->gateway, i));
		tunnel_write_down(tunnel, 0, i);
		assert_true(relay_take(&relay, relay.far_fd, TUNNEL_WAIT_MS, &datagram));
		relay_give_down(&relay, &datagram);
		assert_true(tunnel_arrives(&tunnel->client, i));
	}
	// The many ports reached both workers of the gateway; what the other one owns was handed over.
	assert_int_equal(tunnel_drops(&tunnel->gateway, DROP_QUEUE), 0);
	dataplane_collect(tunnel->gateway.dataplane);
}

static void an_unknown_address_must_answer_first(void **state)
{
	struct datagram datagram;
	size_t in = 0, out = 0;

	(void)state;
	relay_begin(&relay, "127.0.0.66:0");
	relay_catch_up(&relay, 0, 1, &datagram);
	in += datagram.size;
	relay_give_up(&relay, &datagram);
	assert_true(tunnel_arrives(&tunnel->gateway, 1));
	// The probe, and a few times what came from there; no more.
	for (uint32_t i = 0; i < 10; i++)
		tunnel_write_down(tunnel, 0, i);
	tunnel_wait_drops(&tunnel->gateway, DROP_PATH, 10 - UNCONFIRMED_FACTOR);
	bool probed = false;
	struct datagram probe = {0};
	while (relay_take(&relay, relay.far_fd, TUNNEL_QUIET_MS, &datagram)) {
		bool is_probe = datagram.size == PACKET_OVERHEAD + sizeof(struct link_message);
		if (is_probe)
			probe = datagram;
		else
			out += datagram.size;
		probed |= is_probe;
	}
	assert_true(probed);
	assert_int_equal(out, UNCONFIRMED_FACTOR * in);
	// Once the client has answered from there, the address is as good as any.
	relay_give_down(&relay, &probe);
	relay_settle(&relay);
	uint64_t dropped = tunnel_drops(&tunnel->gateway, DROP_PATH);
	for (uint32_t i = 0; i < 10; i++)
		tunnel_write_down(tunnel, 0, i);
	for (uint32_t i = 0; i < 10; i++)
		assert_true(relay_take(&relay, relay.far_fd, TUNNEL_WAIT_MS, &datagram));
	assert_int_equal(tunnel_drops(&tunnel->gateway, DROP_PATH), dropped);
}

// The client's lane comes from where the relay is now.
static void show(unsigned lane)
{
	static uint32_t number;
	struct datagram datagram;
	relay_catch_up(&relay, lane, ++number, &datagram);
	assert_int_equal(datagram.bytes[2], lane);
	relay_give_up(&relay, &datagram);
	assert_true(tunnel_arrives(&tunnel->gateway, number));
}

// What the gateway's worker sends arrives there.
static void expect_down(unsigned worker, int there)
{
	struct datagram datagram;
	tunnel_write_down(tunnel, worker, 1);
	do
		assert_true(relay_take(&relay, there, TUNNEL_WAIT_MS, &datagram));
	while (datagram.size != RELAY_DATAGRAM);
	assert_int_equal(datagram.bytes[2], worker);
}

static struct session *gateway(void)
{
	return tunnel->gateway.session;
}

// Carries what waits until the gateway has noted an answer, at most for a while.
static void settle_until(bool (*noted)(void))
{
	for (unsigned i = 0; i < 100 && !noted(); i++)
		relay_settle(&relay);
	assert_true(noted());
}

static bool small_answered(void)
{
	return atomic_load(&gateway()->mtu_small_ms) != 0;
}

static bool large_answered(void)
{
	return atomic_load(&gateway()->mtu_answered) == LARGE;
}

static bool other_way_confirmed(void)
{
	return atomic_load(&gateway()->paths[0]->confirmed);
}

static void a_lane_that_moves_casts_doubt_on_the_others(void **state)
{
	int ports[3];

	(void)state;
	relay_begin(&relay, "127.0.0.1:0");
	ports[0] = relay.far_fd;
	show(0);
	show(1);
	expect_down(1, ports[0]);
	// The translations are forgotten, and only one lane has something to say.
	relay.far_fd = ports[1] = relay_open_socket("127.0.0.1:0");
	show(0);
	expect_down(0, ports[1]);
	expect_down(1, ports[1]);
	// The other one has its own translation again, and the first is heard from after that.
	relay.far_fd = ports[2] = relay_open_socket("127.0.0.1:0");
	show(1);
	expect_down(1, ports[2]);
	relay.far_fd = ports[1];
	show(0);
	expect_down(0, ports[1]);
	expect_down(1, ports[2]);
	close(ports[0]);
	close(ports[2]);
}

static void an_address_that_has_not_answered_is_not_taken_for_another_lane(void **state)
{
	(void)state;
	relay_begin(&relay, "127.0.0.1:0");
	int known = relay.far_fd;
	show(0);
	show(1);
	relay.far_fd = relay_open_socket("127.0.0.66:0");
	show(0);
	expect_down(1, known);
	settle_until(other_way_confirmed);
	expect_down(1, relay.far_fd);
	close(known);
}

static void probe_mtu(void)
{
	dataplane_probe_mtu(tunnel->gateway.dataplane, gateway()->index, LARGE);
}

static void expect_probe(size_t size, struct datagram *ret)
{
	assert_true(relay_take(&relay, relay.far_fd, TUNNEL_WAIT_MS, ret));
	assert_int_equal(ret->size, PACKET_OVERHEAD + size);
}

static void an_mtu_probe_has_a_small_one_beside_it(void **state)
{
	struct datagram large, small;

	(void)state;
	relay_begin(&relay, "127.0.0.1:0");
	show(0);
	uint64_t before = clock_ms();
	probe_mtu();
	expect_probe(LARGE, &large);
	expect_probe(sizeof(struct link_message), &small);
	uint64_t after = clock_ms();
	relay_give_down(&relay, &small);
	settle_until(small_answered);
	assert_in_range(atomic_load(&gateway()->mtu_small_ms), before, after);
	assert_false(large_answered());
	relay_give_down(&relay, &large);
	settle_until(large_answered);

	// An answer by a path that is not used any more says nothing.
	atomic_store(&gateway()->mtu_small_ms, 0);
	probe_mtu();
	expect_probe(LARGE, &large);
	expect_probe(sizeof(struct link_message), &small);
	close(relay.far_fd);
	relay.far_fd = relay_open_socket("127.0.0.1:0");
	show(0);
	relay_give_down(&relay, &small);
	relay_settle(&relay);
	assert_false(small_answered());
}

static void an_address_that_has_not_answered_gets_no_mtu_probe(void **state)
{
	struct datagram datagram;

	(void)state;
	relay_begin(&relay, "127.0.0.66:0");
	show(0);
	probe_mtu();
	for (unsigned i = 0; i < 2; i++)
		expect_probe(sizeof(struct link_message), &datagram); // of the move, and this one
	assert_false(relay_take(&relay, relay.far_fd, TUNNEL_QUIET_MS, &datagram));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(late_packets_arrive_but_lead_nowhere),
		CASE(a_client_that_moves_is_followed),
		CASE(an_unknown_address_must_answer_first),
		CASE(a_lane_that_moves_casts_doubt_on_the_others),
		CASE(an_address_that_has_not_answered_is_not_taken_for_another_lane),
		CASE(an_mtu_probe_has_a_small_one_beside_it),
		CASE(an_address_that_has_not_answered_gets_no_mtu_probe),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
