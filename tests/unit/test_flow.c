// SPDX-License-Identifier: Apache-2.0
// Time is what each call says it is.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <netinet/in.h>
#include <cmocka.h>

#include "base/rcu.h"
#include "tun/flow.h"
#include "tun/subject.h"

#define SYN 0x02
#define RST 0x04
#define ACK 0x10

static struct subjects *subjects;
static struct flows *flows;
static struct subject *alice, *bob;

static int set_up(void **state)
{
	(void)state;
	subjects = subjects_new();
	flows = subjects ? flows_new(subjects) : NULL;
	if (!flows || subject_get(subjects, "spiffe://a/alice", false, &alice) < 0 ||
	    subject_get(subjects, "spiffe://a/bob", false, &bob) < 0)
		return -1;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	flows = flows_free(flows);
	assert_int_equal(alice->flows + alice->named + bob->flows + bob->named, 0);
	subject_put(subjects, alice, 1);
	subject_put(subjects, bob, 1);
	subjects = subjects_free(subjects);
	return 0;
}

static void limit(unsigned each, unsigned total)
{
	struct flow_limits limits = {.each = each, .total = total};
	flows_set_limits(flows, &limits);
}

// From a peer to port 443 of a host in the network, from a port that makes it unique.
static struct flow_start start_of(struct subject *from, unsigned number, uint32_t now_s)
{
	struct flow_start start = {
		.key =
			{
				.from = {.family = AF_INET,
					 .bytes = {10, 90, (uint8_t)from->number,
						   (uint8_t)(number >> 16)}},
				.to = {.family = AF_INET, .bytes = {10, 20, 0, 5}},
				.from_port = (uint16_t)number,
				.to_port = 443,
				.protocol = IPPROTO_TCP,
				.from_subject = from->number,
			},
		.from = from,
		.service = 443,
		.tcp_flags = SYN,
		.generation = 1,
		.now_s = now_s,
	};
	return start;
}

static struct flow_key turned(const struct flow_key *key)
{
	return (struct flow_key){
		.from = key->to,
		.to = key->from,
		.from_port = key->to_port,
		.to_port = key->from_port,
		.protocol = key->protocol,
		.from_subject = key->to_subject,
		.to_subject = key->from_subject,
	};
}

static enum drop begin(struct subject *from, unsigned number, uint32_t now_s)
{
	struct flow_start start = start_of(from, number, now_s);
	struct flow *flow;
	return flow_begin(flows, &start, &flow);
}

static struct flow *find(struct subject *from, unsigned number, uint32_t now_s)
{
	struct flow_start start = start_of(from, number, now_s);
	bool reply = true;
	struct flow *flow = flow_find(flows, &start.key, FLOW_FIRST, now_s, &reply);
	assert_true(!flow || !reply);
	return flow;
}

static void sweep(uint32_t now_s)
{
	struct flow_sweep all = {.now_s = now_s};
	assert_true(flows_sweep(flows, &all));
}

static void is_found_from_both_ends(void **state)
{
	struct flow_start start = start_of(alice, 5000, 1);
	struct flow *flow;
	bool reply = false;

	(void)state;
	assert_int_equal(flow_begin(flows, &start, &flow), DROP_NONE);
	assert_ptr_equal(find(alice, 5000, 1), flow);
	struct flow_key back = turned(&start.key);
	assert_ptr_equal(flow_find(flows, &back, FLOW_EITHER, 1, &reply), flow);
	assert_true(reply);
	// Where a packet says which way it goes, nothing else will do.
	assert_ptr_equal(flow_find(flows, &back, FLOW_REPLY, 1, &reply), flow);
	assert_null(flow_find(flows, &back, FLOW_FIRST, 1, &reply));
	assert_null(flow_find(flows, &start.key, FLOW_REPLY, 1, &reply));
	// Nothing that differs in one thing is it.
	struct flow_key other[8];
	for (unsigned i = 0; i < 8; i++)
		other[i] = start.key;
	other[0].from_port++;
	other[1].to_port++;
	other[2].protocol = IPPROTO_UDP;
	other[3].from_subject = bob->number;
	other[4].to_subject = bob->number;
	other[5].from.bytes[3] ^= 1;
	other[6].to.bytes[0] ^= 1;
	other[7].type = 8;
	for (unsigned i = 0; i < 8; i++)
		assert_null(flow_find(flows, &other[i], FLOW_EITHER, 1, &reply));
	// A second packet that begins it too, on another worker, finds it.
	struct flow *same;
	assert_int_equal(flow_begin(flows, &start, &same), DROP_NONE);
	assert_ptr_equal(same, flow);
	assert_int_equal(flows_count(flows), 1);
	assert_int_equal(alice->flows, 1);
	start.key.to_port++;
	start.tcp_flags = SYN | ACK;
	assert_int_equal(flow_begin(flows, &start, &same), DROP_STATE);
}

static void ends_after_its_time(void **state)
{
	(void)state;
	assert_int_equal(begin(alice, 1, 1000), DROP_NONE);
	struct flow *flow = find(alice, 1, 1120);
	assert_non_null(flow);
	assert_null(find(alice, 1, 1121));
	assert_int_equal(flow_step(flow, true, SYN | ACK, 1100), FLOW_PASS);
	assert_int_equal(flow_step(flow, false, ACK, 1101), FLOW_PASS);
	assert_non_null(find(alice, 1, 1101 + 432000));
	sweep(1101 + 432000);
	assert_int_equal(flows_count(flows), 1);
	// A clock that was read earlier on another core makes nothing old.
	assert_non_null(find(alice, 1, 1090));
	assert_int_equal(flow_step(flow, true, RST, 2000), FLOW_PASS);
	assert_non_null(find(alice, 1, 2010));
	assert_null(find(alice, 1, 2011));
	sweep(2011);
	assert_int_equal(flows_count(flows), 0);
	assert_int_equal(alice->flows, 0);
}

static void one_that_ended_passes_nothing(void **state)
{
	(void)state;
	assert_int_equal(begin(alice, 1, 1), DROP_NONE);
	struct flow *flow = find(alice, 1, 1);
	assert_true(flow_end(flow));
	assert_false(flow_end(flow));
	assert_null(find(alice, 1, 1));
	assert_int_equal(flow_step(flow, false, ACK, 1), FLOW_AGAIN);
	// The next one of the same key is another.
	assert_int_equal(begin(alice, 1, 1), DROP_NONE);
	assert_ptr_not_equal(find(alice, 1, 1), flow);
	assert_int_equal(flows_count(flows), 2);
	sweep(1);
	assert_int_equal(flows_count(flows), 1);
	assert_non_null(find(alice, 1, 1));
}

static void a_peer_that_has_many_harms_itself_alone(void **state)
{
	unsigned refused = 0;

	(void)state;
	limit(1000, 100000);
	assert_int_equal(begin(bob, 1, 1), DROP_NONE);
	for (unsigned i = 0; i < 1000000; i++)
		refused += begin(alice, i, 1) == DROP_FLOWS;
	assert_int_equal(refused, 1000000 - 1000);
	assert_int_equal(alice->flows, 1000);
	assert_non_null(find(bob, 1, 1));
	for (unsigned i = 2; i <= 1000; i++)
		assert_int_equal(begin(bob, i, 1), DROP_NONE);
	// What this host itself begins has the whole table.
	struct flow_start start = start_of(alice, 2000000, 1);
	struct flow *flow;
	start.own = true;
	assert_int_equal(flow_begin(flows, &start, &flow), DROP_NONE);
	sweep(122);
	assert_int_equal(begin(alice, 1, 122), DROP_NONE);
}

static void the_network_leaves_a_peer_room(void **state)
{
	unsigned refused = 0;

	(void)state;
	limit(1000, 100000);
	for (unsigned i = 0; i < 5000; i++) {
		struct flow_start start = start_of(alice, i, 1);
		struct flow *flow;
		start.key = turned(&start.key);
		start.from = NULL;
		start.to = alice;
		start.tcp_flags = ACK; // would live for days
		refused += flow_begin(flows, &start, &flow) == DROP_FLOWS;
	}
	assert_int_equal(refused, 5000 - 750);
	assert_int_equal(alice->flows, 750);
	for (unsigned i = 10000; i < 10250; i++)
		assert_int_equal(begin(alice, i, 1), DROP_NONE);
	assert_int_equal(begin(alice, 1, 1), DROP_FLOWS);
}

static void a_full_table_has_room_for_who_has_little(void **state)
{
	(void)state;
	limit(100000, 1000);
	for (unsigned i = 0; i < 999; i++)
		assert_int_equal(begin(alice, i, 1), DROP_NONE);
	struct flow *answered = find(alice, 5, 1);
	assert_int_equal(flow_step(answered, true, SYN | ACK, 1), FLOW_PASS);
	for (unsigned i = 0; i < 500; i++)
		assert_int_equal(begin(bob, i, 1), DROP_NONE);
	// A share each, and nothing more.
	assert_int_equal(begin(bob, 500, 1), DROP_FLOWS);
	assert_int_equal(begin(alice, 999, 1), DROP_FLOWS);
	assert_int_equal(flows_count(flows), 1499);
	sweep(1);
	assert_int_equal(flows_count(flows), 1000);
	assert_int_equal(alice->flows, 500);
	assert_int_equal(bob->flows, 500);
	assert_ptr_equal(find(alice, 5, 1), answered);
}

static void answered_ones_go_when_nothing_else_helps(void **state)
{
	(void)state;
	limit(100000, 1000);
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(begin(alice, i, 1), DROP_NONE);
		flow_step(find(alice, i, 1), true, SYN | ACK, 1);
	}
	for (unsigned i = 0; i < 500; i++)
		assert_int_equal(begin(bob, i, 1), DROP_NONE);
	sweep(1);
	assert_int_equal(flows_count(flows), 1500);
	sweep(1);
	assert_int_equal(flows_count(flows), 1000);
	assert_int_equal(bob->flows, 500);
}

static void who_is_long_gone_keeps_no_flows(void **state)
{
	struct subject *carol;

	(void)state;
	assert_int_equal(subject_get(subjects, "spiffe://a/carol", false, &carol), 0);
	struct flow_start start = start_of(alice, 1, 1);
	struct flow *flow;
	start.key.to_subject = carol->number;
	start.to = carol;
	assert_int_equal(flow_begin(flows, &start, &flow), DROP_NONE);
	flow_step(flow, true, SYN | ACK, 1);
	flow_step(flow, false, ACK, 1);
	subject_put(subjects, carol, 1);
	sweep(3600);
	subjects_collect(subjects);
	assert_ptr_equal(subject_find(subjects, "spiffe://a/carol", false), carol);
	sweep(3602);
	assert_int_equal(flows_count(flows), 0);
	subjects_collect(subjects);
	assert_null(subject_find(subjects, "spiffe://a/carol", false));
}

static bool odd_ones(struct flow *flow, void *data)
{
	unsigned *asked = data;
	(*asked)++;
	return flow->key.from_port % 2;
}

static void count_one(const struct flow *flow, void *data)
{
	unsigned *count = data;
	assert_int_equal(flow->key.from_port % 2, 1);
	(*count)++;
}

static void is_swept_and_shown_in_slices(void **state)
{
	unsigned asked = 0, shown = 0, slices = 0;
	struct flow_sweep slice = {
		.now_s = 1, .buckets = FLOWS_BUCKETS / 16 + 1, .keep = odd_ones, .data = &asked};

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(begin(alice, i, 1), DROP_NONE);
	while (!flows_sweep(flows, &slice))
		slices++;
	assert_int_equal(slices, 15);
	assert_int_equal(asked, 1000);
	size_t cursor = 0;
	slices = 0;
	while (flows_each(flows, &cursor, FLOWS_BUCKETS / 16, 1, count_one, &shown))
		slices++;
	assert_int_equal(slices, 15);
	assert_int_equal(shown, 500);
}

// --- many threads

#define THREADS 3u
#define KEYS	200u
#define ROUNDS	3000u

static _Atomic unsigned running;

// Begins, finds and ends the same few flows as the others do.
static void *work(void *data)
{
	uint64_t seed = (uintptr_t)data;
	rcu_reader_register();
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned number = (unsigned)((seed = seed * 6364136223846793005u + 1) >> 33) % KEYS;
		struct flow_start start = start_of(number % 2 ? alice : bob, number, i / 100);
		struct flow *flow;
		bool reply;
		if (flow_begin(flows, &start, &flow) != DROP_NONE)
			abort();
		flow_step(flow, false, ACK, i / 100);
		flow_count(flow, false, 1, 100);
		struct flow_key back = turned(&start.key);
		flow = flow_find(flows, &back, FLOW_REPLY, i / 100, &reply);
		if (flow && (!reply || flow->key.from_port != number))
			abort();
		if (flow && seed >> 62 == 0)
			flow_end(flow);
		rcu_reader_quiescent();
	}
	rcu_reader_unregister();
	atomic_fetch_sub(&running, 1);
	return NULL;
}

static bool most(struct flow *flow, void *data)
{
	(void)flow;
	unsigned *turn = data;
	return ++*turn % 3;
}

static void many_threads_agree(void **state)
{
	pthread_t threads[THREADS];
	unsigned turn = 0;
	struct flow_sweep slice = {.now_s = 0, .keep = most, .data = &turn};

	(void)state;
	atomic_store(&running, THREADS);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)(i + 1)), 0);
	while (atomic_load(&running))
		flows_sweep(flows, &slice);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(flows_count(flows), alice->flows + bob->flows);
	sweep(ROUNDS + 432000);
	assert_int_equal(flows_count(flows), 0);
	assert_int_equal(alice->flows + bob->flows, 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(is_found_from_both_ends),
		CASE(ends_after_its_time),
		CASE(one_that_ended_passes_nothing),
		CASE(a_peer_that_has_many_harms_itself_alone),
		CASE(the_network_leaves_a_peer_room),
		CASE(a_full_table_has_room_for_who_has_little),
		CASE(answered_ones_go_when_nothing_else_helps),
		CASE(who_is_long_gone_keeps_no_flows),
		CASE(is_swept_and_shown_in_slices),
		CASE(many_threads_agree),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
