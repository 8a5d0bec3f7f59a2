// SPDX-License-Identifier: Apache-2.0
// Of a connection of Alice's: her first byte has the number 1001, the server's 5001.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tun/flow_reset.h"
#include "tun/session.h"
#include "tun/transport.h"
#include "tun/worker.h"
#include "unit/pass_fixture.h"

#define HERS	   1001u
#define ITS	   5001u
#define HER_PORT   40000
#define ITS_PORT   443
#define RULES(...) pass_rules(world, (const char *const[]){__VA_ARGS__, NULL})

static struct pass_world *world;

static int set_up(void **state)
{
	(void)state;
	world = pass_world_new();
	RULES("allow alice net tcp/443");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	pass_flush(world->worker);
	world = pass_world_free(world);
	return 0;
}

static enum drop judge(bool reply, uint8_t flags, uint32_t sequence, uint32_t acknowledged)
{
	uint8_t packet[PASS_MAX];
	size_t size = reply ? pass_packet(packet, PASS_HOST, PASS_ALICE, IPPROTO_TCP, ITS_PORT,
					  HER_PORT, flags)
			    : pass_packet(packet, PASS_ALICE, PASS_HOST, IPPROTO_TCP, HER_PORT,
					  ITS_PORT, flags);
	put32(packet + 24, sequence);
	put32(packet + 28, acknowledged);
	return pass_packet_judge(world, packet, size, NULL);
}

// In a run of its own.
static void give(bool reply, uint8_t flags, uint32_t sequence, uint32_t acknowledged)
{
	assert_int_equal(judge(reply, flags, sequence, acknowledged), DROP_NONE);
	pass_flush(world->worker);
}

#define SHE(...) give(false, __VA_ARGS__)
#define IT(...)	 give(true, __VA_ARGS__)

static struct flow *the_flow(void)
{
	struct flow_key key = {
		.from_port = HER_PORT,
		.to_port = ITS_PORT,
		.protocol = IPPROTO_TCP,
		.from_subject = world->alice->subject->number,
	};
	bool reply;
	assert_int_equal(addr_parse(PASS_ALICE, &key.from), 0);
	assert_int_equal(addr_parse(PASS_HOST, &key.to), 0);
	struct flow *flow = flow_find(dataplane_guard(world->dataplane)->flows, &key, FLOW_FIRST,
				      (uint32_t)(world->worker->now_ms / 1000), &reply);
	assert_non_null(flow);
	return flow;
}

static enum flow_state now(void)
{
	return (enum flow_state)the_flow()->state;
}

static void open_it(void)
{
	SHE(TCP_SYN, HERS - 1, 0);
	IT(TCP_SYN | TCP_ACK, ITS - 1, HERS);
	SHE(TCP_ACK, HERS, ITS);
	assert_int_equal(now(), FLOW_ESTABLISHED);
}

static void elsewhere_it_changes_nothing(void **state)
{
	static const uint32_t elsewhere[] = {
		0,
		1,
		HERS,
		ITS - 1,
		ITS - FLOW_RESET_WINDOW,
		ITS + FLOW_RESET_WINDOW,
		ITS + (1u << 31),
	};

	(void)state;
	open_it();
	uint32_t seen_s = the_flow()->seen_s;
	world->worker->now_ms += 60000;
	for (unsigned i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
		IT(TCP_RST, elsewhere[i], 0);
		IT(TCP_RST | TCP_ACK, elsewhere[i], HERS);
		SHE(TCP_RST, elsewhere[i] - ITS + HERS, 0);
		assert_int_equal(now(), FLOW_ESTABLISHED);
	}
	// Nor does it live the longer for it.
	assert_int_equal(the_flow()->seen_s, seen_s);
	IT(TCP_RST, ITS, 0);
	assert_int_equal(now(), FLOW_CLOSED);
}

static void where_the_other_end_is_it_closes(void **state)
{
	static const struct {
		bool reply;
		uint8_t flags;
		uint32_t sequence;
	} resets[] = {
		{true, TCP_RST, ITS},
		{true, TCP_RST | TCP_ACK, ITS},
		{true, TCP_RST, ITS + FLOW_RESET_WINDOW - 1},
		{false, TCP_RST, HERS},
		{false, TCP_RST | TCP_ACK, HERS + 100},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(resets) / sizeof(resets[0]); i++) {
		open_it();
		give(resets[i].reply, resets[i].flags, resets[i].sequence, 0);
		assert_int_equal(now(), FLOW_CLOSED);
	}
}

static void it_follows_what_is_acknowledged(void **state)
{
	(void)state;
	open_it();
	IT(TCP_ACK, ITS, HERS + 100);
	SHE(TCP_ACK, HERS + 100, ITS + 200000);
	IT(TCP_RST, ITS, 0);
	SHE(TCP_RST, HERS, 0);
	assert_int_equal(now(), FLOW_ESTABLISHED);
	// What a third one makes up in the name of the server moves nothing that its RST is judged by.
	IT(TCP_ACK, ITS + 77777777, HERS + 77777777);
	IT(TCP_RST, ITS + 77777777, 0);
	IT(TCP_RST, HERS + 77777777, 0);
	assert_int_equal(now(), FLOW_ESTABLISHED);
	IT(TCP_RST, ITS + 200000, 0);
	assert_int_equal(now(), FLOW_CLOSED);
}

static void numbers_wrap(void **state)
{
	(void)state;
	open_it();
	SHE(TCP_ACK, HERS, UINT32_MAX - 10);
	IT(TCP_RST, UINT32_MAX - 11, 0);
	assert_int_equal(now(), FLOW_ESTABLISHED);
	IT(TCP_RST, 100, 0);
	assert_int_equal(now(), FLOW_CLOSED);
}

static void a_refusal_acknowledges_the_first_packet(void **state)
{
	(void)state;
	SHE(TCP_SYN, HERS - 1, 0);
	IT(TCP_RST | TCP_ACK, 0, HERS - 1);
	IT(TCP_RST | TCP_ACK, 0, HERS + FLOW_RESET_WINDOW);
	IT(TCP_RST, 0, HERS);
	assert_int_equal(now(), FLOW_SYN_SENT);
	IT(TCP_RST | TCP_ACK, 0, HERS);
	assert_int_equal(now(), FLOW_CLOSED);
	// The next try has other numbers.
	SHE(TCP_SYN, HERS + 999999, 0);
	IT(TCP_RST | TCP_ACK, 0, HERS);
	assert_int_equal(now(), FLOW_SYN_SENT);
	// In an open connection what it acknowledges proves nothing: whoever made it up chose it.
	IT(TCP_SYN | TCP_ACK, ITS - 1, HERS + 1000000);
	SHE(TCP_ACK, HERS + 1000000, ITS);
	IT(TCP_RST | TCP_ACK, 0, ITS);
	assert_int_equal(now(), FLOW_ESTABLISHED);
}

static void what_is_not_known_is_believed(void **state)
{
	(void)state;
	// Taken up in the middle, with nothing from the server yet.
	SHE(TCP_ACK, HERS, ITS);
	IT(TCP_RST, ITS + FLOW_RESET_WINDOW, 0);
	assert_int_equal(now(), FLOW_ESTABLISHED);
	SHE(TCP_RST, 7, 0);
	assert_int_equal(now(), FLOW_CLOSED);
}

static void the_last_of_a_run_counts(void **state)
{
	(void)state;
	open_it();
	for (uint32_t i = 1; i <= 100; i++)
		assert_int_equal(judge(false, TCP_ACK, HERS, ITS + i * 100000), DROP_NONE);
	assert_int_equal(judge(false, TCP_RST, HERS - 1, 0), DROP_NONE);
	pass_flush(world->worker);
	IT(TCP_RST, ITS + 9900000, 0);
	assert_int_equal(now(), FLOW_ESTABLISHED);
	IT(TCP_RST, ITS + 10000000, 0);
	assert_int_equal(now(), FLOW_CLOSED);
}

static void one_that_is_over_lets_none_pass(void **state)
{
	(void)state;
	open_it();
	assert_int_equal(judge(true, TCP_ACK, ITS, HERS), DROP_NONE);
	flow_end(the_flow());
	assert_int_equal(judge(true, TCP_RST, 1, 0), DROP_POLICY);
}

// Flags that anybody can make up bring the flow to where the server may begin anew. Where no rule lets it, her flow stays.
static void what_may_not_begin_ends_nothing(void **state)
{
	(void)state;
	open_it();
	IT(TCP_FIN | TCP_ACK, 0, 0);
	IT(TCP_FIN | TCP_ACK, 0, 0);
	IT(TCP_ACK, 0, 0);
	assert_int_equal(now(), FLOW_TIME_WAIT);
	assert_int_equal(judge(true, TCP_SYN, 0, 0), DROP_POLICY);
	assert_int_equal(now(), FLOW_TIME_WAIT);
	IT(TCP_ACK, ITS, HERS);
	RULES("allow alice net tcp/443", "allow net alice any");
	IT(TCP_SYN, 0, 0);
	assert_int_equal(flows_count(dataplane_guard(world->dataplane)->flows), 2);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(elsewhere_it_changes_nothing),
		CASE(where_the_other_end_is_it_closes),
		CASE(it_follows_what_is_acknowledged),
		CASE(numbers_wrap),
		CASE(a_refusal_acknowledges_the_first_packet),
		CASE(what_is_not_known_is_believed),
		CASE(the_last_of_a_run_counts),
		CASE(one_that_is_over_lets_none_pass),
		CASE(what_may_not_begin_ends_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
