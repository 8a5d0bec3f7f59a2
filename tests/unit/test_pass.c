// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tun/note.h"
#include "tun/session.h"
#include "tun/worker.h"
#include "unit/pass_fixture.h"
#include "unit/pki_fixture.h"

#define SYN	   0x02
#define ACK	   0x10
#define TCP	   IPPROTO_TCP
#define UDP	   IPPROTO_UDP
#define ICMP	   IPPROTO_ICMP
#define ECHO	   0x0800
#define ECHO_REPLY 0x0000
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

static struct flows *flows(void)
{
	return dataplane_guard(world->dataplane)->flows;
}

static enum drop syn(const char *from, const char *to, uint16_t port)
{
	pass_flush(world->worker);
	return pass_try(world, from, to, TCP, 40000, port, SYN);
}

// The packet that follows, as a worker sees it in its next run.
static enum drop then(const char *from, const char *to, uint16_t from_port, uint16_t port,
		      uint8_t flags)
{
	pass_flush(world->worker);
	return pass_try(world, from, to, TCP, from_port, port, flags);
}

static void connect_to(const char *from, const char *to, uint16_t port)
{
	assert_int_equal(syn(from, to, port), DROP_NONE);
	assert_int_equal(then(to, from, port, 40000, SYN | ACK), DROP_NONE);
	assert_int_equal(then(from, to, 40000, port, ACK), DROP_NONE);
}

static bool take_note(struct note *ret)
{
	return notes_take(world->worker->notes, ret);
}

static void everything_passes_before_there_is_a_filter(void **state)
{
	(void)state;
	assert_int_equal(syn(PASS_ALICE, PASS_HOST, 443), DROP_NONE);
	assert_int_equal(then(PASS_HOST, PASS_ALICE, 443, 1, SYN | ACK), DROP_NONE);
	assert_int_equal(flows_count(flows()), 0);
}

static void a_rule_lets_a_flow_begin_and_its_replies_back(void **state)
{
	struct note note;

	(void)state;
	RULES("allow alice net tcp/443 log");
	assert_int_equal(then(PASS_HOST, PASS_ALICE, 443, 40000, ACK), DROP_POLICY);
	connect_to(PASS_ALICE, PASS_HOST, 443);
	assert_int_equal(flows_count(flows()), 1);
	assert_int_equal(world->alice->subject->flows, 1);
	assert_int_equal(syn(PASS_ALICE, PASS_HOST, 22), DROP_POLICY);
	assert_int_equal(syn(PASS_BOB, PASS_HOST, 443), DROP_POLICY);
	assert_int_equal(syn(PASS_HOST, PASS_ALICE, 443), DROP_POLICY);
	assert_int_equal(world->alice->subject->denied, 3);
	assert_int_equal(world->bob->subject->denied, 1);
	// The control thread hears of all that.
	assert_true(take_note(&note));
	assert_int_equal(note.type, NOTE_DENIED);
	assert_true(note.outbound);
	assert_int_equal(note.rule, FILTER_NO_RULE);
	assert_int_equal(note.session_index, world->alice->index);
	assert_true(take_note(&note));
	assert_int_equal(note.type, NOTE_BEGUN);
	assert_int_equal(note.rule, 0);
	assert_int_equal(note.generation, 1);
	assert_false(note.outbound);
	assert_int_equal(note.key.to_port, 443);
	assert_int_equal(note.key.from_subject, world->alice->subject->number);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(take_note(&note));
		assert_int_equal(note.drop, DROP_POLICY);
	}
	assert_false(take_note(&note));
}

static void who_is_told_of_a_refusal(void **state)
{
	uint8_t packet[PASS_MAX];
	struct pass pass;

	(void)state;
	RULES("deny alice net tcp/25", "deny alice net tcp/26 reject", "deny net bob tcp/1 reject");
	size_t size = pass_packet(packet, PASS_ALICE, PASS_HOST, TCP, 1, 25, SYN);
	assert_int_equal(pass_packet_judge(world, packet, size, &pass), DROP_POLICY);
	assert_false(pass.reject);
	size = pass_packet(packet, PASS_ALICE, PASS_HOST, TCP, 1, 26, SYN);
	assert_int_equal(pass_packet_judge(world, packet, size, &pass), DROP_POLICY);
	assert_true(pass.reject);
	// What no rule allows: towards peers only.
	size = pass_packet(packet, PASS_ALICE, PASS_HOST, TCP, 1, 27, SYN);
	assert_int_equal(pass_packet_judge(world, packet, size, &pass), DROP_POLICY);
	assert_true(pass.reject);
	size = pass_packet(packet, PASS_HOST, PASS_ALICE, TCP, 1, 27, SYN);
	assert_int_equal(pass_packet_judge(world, packet, size, &pass), DROP_POLICY);
	assert_false(pass.reject);
	size = pass_packet(packet, PASS_HOST, PASS_BOB, TCP, 1, 1, SYN);
	assert_int_equal(pass_packet_judge(world, packet, size, &pass), DROP_POLICY);
	assert_true(pass.reject);
}

static void peers_reach_each_other_by_rules_alone(void **state)
{
	(void)state;
	RULES("allow alice bob tcp/22", "allow any net any", "allow net any any");
	connect_to(PASS_ALICE, PASS_BOB, 22);
	assert_int_equal(syn(PASS_BOB, PASS_ALICE, 22), DROP_POLICY);
	assert_int_equal(syn(PASS_CAROL, PASS_BOB, 22), DROP_POLICY);
	// With the address of the one it began with, and nobody else's.
	assert_int_equal(then(PASS_CAROL, PASS_ALICE, 22, 40000, ACK), DROP_POLICY);
}

static void a_node_trusts_itself_and_not_its_link(void **state)
{
	(void)state;
	RULES("inbound allow net any tcp/22", "allow any any tcp/80");
	connect_to(PASS_HOST, PASS_FAR, 443);
	assert_int_equal(syn(PASS_FAR, PASS_HOST, 443), DROP_POLICY);
	RULES("inbound allow link any tcp/22", "allow any any tcp/80");
	connect_to(PASS_FAR, PASS_HOST, 22);
	// What a peer sends over the link needs a rule, and what comes over the link to a peer both.
	connect_to(PASS_ALICE, PASS_FAR, 80);
	assert_int_equal(syn(PASS_ALICE, PASS_FAR, 443), DROP_POLICY);
	assert_int_equal(syn(PASS_FAR, PASS_ALICE, 22), DROP_POLICY);
	assert_int_equal(syn(PASS_FAR, PASS_ALICE, 80), DROP_POLICY);
	RULES("inbound allow link any tcp/22", "allow link alice tcp/22");
	connect_to(PASS_FAR, PASS_ALICE, 22);
}

static void a_query_passes_one_way_and_its_answer_the_other(void **state)
{
	(void)state;
	RULES("allow alice net ping");
	assert_int_equal(pass_try(world, PASS_HOST, PASS_ALICE, ICMP, ECHO_REPLY, 7, 0),
			 DROP_POLICY);
	assert_int_equal(pass_try(world, PASS_ALICE, PASS_HOST, ICMP, ECHO, 7, 0), DROP_NONE);
	pass_flush(world->worker);
	assert_int_equal(pass_try(world, PASS_HOST, PASS_ALICE, ICMP, ECHO_REPLY, 7, 0), DROP_NONE);
	assert_int_equal(pass_try(world, PASS_HOST, PASS_ALICE, ICMP, ECHO_REPLY, 7, 0), DROP_NONE);
	// A question of the other end is no answer, nor is another question the same.
	assert_int_equal(pass_try(world, PASS_HOST, PASS_ALICE, ICMP, ECHO, 7, 0), DROP_POLICY);
	assert_int_equal(pass_try(world, PASS_ALICE, PASS_HOST, ICMP, 13 << 8, 7, 0), DROP_POLICY);
	assert_int_equal(pass_try(world, PASS_HOST, PASS_ALICE, ICMP, ECHO_REPLY, 8, 0),
			 DROP_POLICY);
	RULES("allow any any icmp");
	assert_int_equal(pass_try(world, PASS_ALICE, PASS_HOST, ICMP, ECHO_REPLY, 9, 0),
			 DROP_STATE);
}

static void an_error_passes_by_what_it_is_about(void **state)
{
	uint8_t packet[PASS_MAX], error[PASS_MAX];

	(void)state;
	RULES("allow alice net udp/53", "allow alice bob udp/53", "allow any any icmp");
	size_t size = pass_packet(packet, PASS_ALICE, PASS_HOST, UDP, 5000, 53, 0);
	size_t whole = pass_error(error, PASS_HOST, packet, size);
	// A rule for ICMP is none for this: nobody sent what it is about.
	assert_int_equal(pass_packet_judge(world, error, whole, NULL), DROP_QUOTE);
	assert_int_equal(pass_packet_judge(world, packet, size, NULL), DROP_NONE);
	pass_flush(world->worker);
	assert_int_equal(pass_packet_judge(world, error, whole, NULL), DROP_NONE);
	// From a router on the way, too; not from another peer, nor about another port.
	whole = pass_error(error, "10.20.0.1", packet, size);
	assert_int_equal(pass_packet_judge(world, error, whole, NULL), DROP_NONE);
	whole = pass_error(error, PASS_BOB, packet, size);
	assert_int_equal(pass_packet_judge(world, error, whole, NULL), DROP_QUOTE);
	size = pass_packet(packet, PASS_ALICE, PASS_HOST, UDP, 5001, 53, 0);
	whole = pass_error(error, PASS_HOST, packet, size);
	assert_int_equal(pass_packet_judge(world, error, whole, NULL), DROP_QUOTE);
	// About a reply.
	size = pass_packet(packet, PASS_HOST, PASS_ALICE, UDP, 53, 5000, 0);
	whole = pass_error(error, PASS_ALICE, packet, size);
	assert_int_equal(pass_packet_judge(world, error, whole, NULL), DROP_NONE);
	assert_int_equal(flows_count(flows()), 1);
}

static void a_reload_cuts_what_it_forbids_and_nothing_else(void **state)
{
	(void)state;
	RULES("allow alice net tcp/443", "allow alice net tcp/22");
	connect_to(PASS_ALICE, PASS_HOST, 443);
	connect_to(PASS_ALICE, PASS_HOST, 22);
	RULES("deny alice net tcp/22", "allow alice net any");
	assert_int_equal(then(PASS_HOST, PASS_ALICE, 22, 40000, ACK), DROP_POLICY);
	assert_int_equal(then(PASS_ALICE, PASS_HOST, 40000, 22, ACK), DROP_POLICY);
	// Although nothing allows it in this direction, it goes on: it is judged as it began.
	assert_int_equal(then(PASS_HOST, PASS_ALICE, 443, 40000, ACK), DROP_NONE);
	assert_int_equal(then(PASS_ALICE, PASS_HOST, 40000, 443, ACK), DROP_NONE);
	assert_int_equal(flows_count(flows()), 2);
	// The sweep finds what no packet asks about.
	RULES("allow bob net any");
	pass_flush(world->worker);
	for (unsigned i = 0; i < 1000 && flows_count(flows());
	     i++) // more than 16 on a busy machine
		guard_tend(dataplane_guard(world->dataplane));
	assert_int_equal(flows_count(flows()), 0);
	assert_int_equal(world->alice->subject->flows, 0);
}

static void note_cut(const struct flow *flow, void *data)
{
	uint16_t *port = data;
	*port = flow->key.to_port;
}

static void a_plan_says_what_a_reload_would_cut(void **state)
{
	static const char *const next[] = {"allow alice net tcp/443", NULL};
	struct guard *guard = dataplane_guard(world->dataplane);
	uint16_t port = 0;

	(void)state;
	RULES("allow alice net any", "allow bob net tcp/443");
	connect_to(PASS_ALICE, PASS_HOST, 443);
	connect_to(PASS_ALICE, PASS_HOST, 22);
	_cleanup_(filter_freep) struct filter *filter = pass_filter(next);
	struct guard_trial trial = {.filter = filter, .each = note_cut, .data = &port};
	while (guard_try(guard, &trial))
		continue;
	assert_int_equal(trial.kept, 1);
	assert_int_equal(trial.cut, 1);
	assert_int_equal(port, 22);
	// It was but a plan.
	assert_int_equal(then(PASS_ALICE, PASS_HOST, 40000, 22, ACK), DROP_NONE);
	connect_to(PASS_BOB, PASS_HOST, 443);
}

static void no_filter_any_more_leaves_no_flow_behind(void **state)
{
	(void)state;
	RULES("allow alice net tcp/443");
	connect_to(PASS_ALICE, PASS_HOST, 443);
	pass_flush(world->worker);
	assert_int_equal(dataplane_set_filter(world->dataplane, NULL), 0);
	assert_int_equal(flows_count(flows()), 0);
	RULES("allow alice net tcp/22");
	assert_int_equal(then(PASS_HOST, PASS_ALICE, 443, 40000, ACK), DROP_POLICY);
}

static struct fixture *leaf_of(const struct fixture *root, const char *unit)
{
	struct fixture_options options = {.uris = {"spiffe://corp.example/laptop/alice"},
					  .units = {unit}};
	return fixture_issue(root, &options);
}

// One rule: who has the unit "Build" may reach everything. For one call after the other.
static void let_build_pass(void)
{
	static const struct rule_peer peer = {.unit = "Build"};
	static const struct rule_group group = {.peers = &peer, .peer_count = 1};
	static const unsigned first = 0;
	static const struct rule_service service = {.any_protocol = true, .last = 65535};
	static const struct rule rule = {
		.place = "test",
		.from = {.groups = &first, .group_count = 1},
		.to.any = true,
		.services = &service,
		.service_count = 1,
	};
	const struct rules rules = {
		.groups = &group, .group_count = 1, .rules = &rule, .rule_count = 1};
	struct filter *filter;
	assert_int_equal(filter_new(&rules, NULL, &filter), 0);
	pass_flush(world->worker);
	assert_int_equal(dataplane_set_filter(world->dataplane, filter), 0);
}

static void a_new_certificate_is_judged_at_once(void **state)
{
	_cleanup_(fixture_freep) struct fixture *root = fixture_root("CA");
	_cleanup_(fixture_freep) struct fixture *build = leaf_of(root, "Build");
	_cleanup_(fixture_freep) struct fixture *sales = leaf_of(root, "Sales");
	struct guard *guard = dataplane_guard(world->dataplane);
	struct subject *alice = world->alice->subject;

	(void)state;
	assert_int_equal(guard_set_facts(guard, alice, build->certificate), 0);
	let_build_pass();
	connect_to(PASS_ALICE, PASS_HOST, 443);
	uint32_t generation = alice->generation;
	assert_int_equal(guard_set_facts(guard, alice, build->certificate), 0);
	assert_int_equal(alice->generation, generation);
	assert_int_equal(guard_set_facts(guard, alice, sales->certificate), 0);
	assert_int_not_equal(alice->generation, generation);
	assert_int_equal(then(PASS_ALICE, PASS_HOST, 40000, 443, ACK), DROP_POLICY);
	assert_int_equal(guard_set_facts(guard, alice, build->certificate), 0);
	connect_to(PASS_ALICE, PASS_HOST, 443);
	pass_flush(world->worker);
	dataplane_set_filter(world->dataplane, NULL);
}

static void whom_this_node_dials_lends_nothing_to_a_peer(void **state)
{
	_cleanup_(fixture_freep) struct fixture *root = fixture_root("CA");
	_cleanup_(fixture_freep) struct fixture *build = leaf_of(root, "Build");
	struct guard *guard = dataplane_guard(world->dataplane);
	struct session *same;
	struct prefix prefix;

	(void)state;
	// A peer with the identity of the link's gateway, but another certificate, which has no such unit.
	world->alice = session_free(world->alice);
	assert_int_equal(
		session_new(world->dataplane, false, world->link->identity, NULL, 25, &same), 0);
	world->alice = same;
	assert_int_equal(prefix_parse(PASS_ALICE "/32", &prefix), 0);
	assert_int_equal(routes_add(dataplane_routes(world->dataplane), &prefix, 1, same), 0);
	assert_int_equal(guard_set_facts(guard, world->link->subject, build->certificate), 0);
	let_build_pass();
	assert_int_equal(syn(PASS_ALICE, PASS_HOST, 443), DROP_POLICY);
	assert_int_equal(guard_set_facts(guard, same->subject, build->certificate), 0);
	connect_to(PASS_ALICE, PASS_HOST, 443);
	pass_flush(world->worker);
	dataplane_set_filter(world->dataplane, NULL);
}

static void what_is_prepared_knows_who_came_meanwhile(void **state)
{
	static const char *const next[] = {"allow alice net any", NULL};
	struct guard *guard = dataplane_guard(world->dataplane);
	struct prefix prefix;

	(void)state;
	world->alice = session_free(world->alice);
	struct filter *filter = pass_filter(next);
	while (guard_prepare(guard, filter) == 0)
		continue;
	// She gets a number that had no peer, or another one.
	assert_int_equal(session_new(world->dataplane, false, "spiffe://corp.example/laptop/alice",
				     NULL, 25, &world->alice),
			 0);
	assert_int_equal(prefix_parse(PASS_ALICE "/32", &prefix), 0);
	assert_int_equal(routes_add(dataplane_routes(world->dataplane), &prefix, 1, world->alice),
			 0);
	assert_non_null(filter_class(filter, world->alice->subject->number));
	assert_int_equal(dataplane_set_filter(world->dataplane, filter), 0);
	connect_to(PASS_ALICE, PASS_HOST, 443);
	assert_int_equal(syn(PASS_BOB, PASS_HOST, 443), DROP_POLICY);
	filter = pass_filter(next);
	while (guard_prepare(guard, filter) == 0)
		continue;
	assert_int_equal(guard_prepare(guard, NULL), 1);
	filter_free(filter);
}

static void a_session_that_comes_back_finds_its_flows(void **state)
{
	struct prefix prefix;

	(void)state;
	RULES("allow alice net tcp/443");
	connect_to(PASS_ALICE, PASS_HOST, 443);
	world->alice = session_free(world->alice);
	assert_int_equal(session_new(world->dataplane, false, "spiffe://corp.example/laptop/alice",
				     NULL, 25, &world->alice),
			 0);
	assert_int_equal(prefix_parse(PASS_ALICE "/32", &prefix), 0);
	assert_int_equal(routes_add(dataplane_routes(world->dataplane), &prefix, 1, world->alice),
			 0);
	assert_int_equal(then(PASS_HOST, PASS_ALICE, 443, 40000, ACK), DROP_NONE);
	// Who has its address now has not its flows.
	world->alice = session_free(world->alice);
	assert_int_equal(session_new(world->dataplane, false,
				     "spiffe://corp.example/laptop/mallory", NULL, 25,
				     &world->alice),
			 0);
	assert_int_equal(routes_add(dataplane_routes(world->dataplane), &prefix, 1, world->alice),
			 0);
	assert_int_equal(then(PASS_HOST, PASS_ALICE, 443, 40000, ACK), DROP_POLICY);
}

static void a_flood_of_one_peer_leaves_the_others_alone(void **state)
{
	struct flow_limits limits = {.each = 1000, .total = 100000};
	unsigned refused = 0;

	(void)state;
	RULES("allow any net any");
	flows_set_limits(flows(), &limits);
	connect_to(PASS_BOB, PASS_HOST, 443);
	for (unsigned i = 0; i < 1000000; i++) {
		char to[ADDR_TEXT_MAX];
		snprintf(to, sizeof(to), "10.20.%u.%u", i >> 16 & 255, 1 + (i >> 8) % 250);
		refused += pass_try(world, PASS_ALICE, to, UDP, (uint16_t)i, (uint16_t)(i / 65536),
				    0) == DROP_FLOWS;
	}
	assert_true(refused >= 1000000 - 1000);
	assert_int_equal(world->alice->subject->flows, 1000);
	assert_int_equal(then(PASS_HOST, PASS_BOB, 443, 40000, ACK), DROP_NONE);
	connect_to(PASS_BOB, PASS_HOST, 80);
	connect_to(PASS_CAROL, PASS_HOST, 80);
}

static void a_run_is_counted_once(void **state)
{
	uint8_t packet[PASS_MAX];

	(void)state;
	RULES("allow alice net any");
	size_t size = pass_packet(packet, PASS_ALICE, PASS_HOST, UDP, 5000, 53, 0);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(pass_packet_judge(world, packet, size, NULL), DROP_NONE);
	assert_int_equal(pass_try(world, PASS_HOST, PASS_ALICE, UDP, 53, 5000, 0), DROP_NONE);
	pass_flush(world->worker);
	struct flow_key key;
	bool reply;
	struct inner inner;
	assert_int_equal(inner_parse(packet, size, &inner), DROP_NONE);
	key = (struct flow_key){
		.from = inner.source,
		.to = inner.destination,
		.from_port = 5000,
		.to_port = 53,
		.protocol = UDP,
		.from_subject = world->alice->subject->number,
	};
	struct flow *flow = flow_find(flows(), &key, FLOW_FIRST,
				      (uint32_t)(world->worker->now_ms / 1000), &reply);
	assert_non_null(flow);
	assert_int_equal(flow->packets[0], 100);
	assert_int_equal(flow->bytes[0], 100 * size);
	assert_int_equal(flow->packets[1], 1);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(everything_passes_before_there_is_a_filter),
		CASE(a_rule_lets_a_flow_begin_and_its_replies_back),
		CASE(who_is_told_of_a_refusal),
		CASE(peers_reach_each_other_by_rules_alone),
		CASE(a_node_trusts_itself_and_not_its_link),
		CASE(a_query_passes_one_way_and_its_answer_the_other),
		CASE(an_error_passes_by_what_it_is_about),
		CASE(a_reload_cuts_what_it_forbids_and_nothing_else),
		CASE(a_plan_says_what_a_reload_would_cut),
		CASE(no_filter_any_more_leaves_no_flow_behind),
		CASE(a_new_certificate_is_judged_at_once),
		CASE(whom_this_node_dials_lends_nothing_to_a_peer),
		CASE(what_is_prepared_knows_who_came_meanwhile),
		CASE(a_session_that_comes_back_finds_its_flows),
		CASE(a_flood_of_one_peer_leaves_the_others_alone),
		CASE(a_run_is_counted_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
