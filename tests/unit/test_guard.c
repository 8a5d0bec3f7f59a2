// SPDX-License-Identifier: Apache-2.0
// A rule that holds for this node alone, whatever its addresses are.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tun/guard.h"
#include "tun/rule.h"
#include "unit/addr_fixture.h"

#define PING	   (ICMP_ECHO << 8)
#define FLOWS	   5000u
#define TURN_FLOWS 100u // a turn has 4 ms, and ends with a few more

static struct guard guard;

static struct filter *ping_to_this_node(void)
{
	static const struct rule_service ping = {
		.protocols = {IPPROTO_ICMP}, .first = PING, .last = PING};
	static const struct rule own = {.from.any = true,
					.to.any = true,
					.services = &ping,
					.service_count = 1,
					.own = true};
	static const struct rules rules = {.inbound = &own, .inbound_count = 1};
	struct filter *filter;
	assert_int_equal(filter_new(&rules, (const bool *const[FILTER_PROGRAMS]){0}, &filter), 0);
	return filter;
}

static int set_up(void **state)
{
	(void)state;
	guard = (struct guard){0};
	assert_int_equal(guard_init(&guard), 0);
	assert_int_equal(guard_set_filter(&guard, ping_to_this_node()), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	guard_done(&guard);
	return 0;
}

static bool lets_in_by(const struct filter *filter, const char *text)
{
	struct addr from = addr_from("10.90.0.1"), to = addr_from(text);
	struct filter_question question = {
		.from.addr = &from, .to.addr = &to, .protocol = IPPROTO_ICMP, .port = PING};
	struct filter_verdict verdict;
	enum filter_program program;
	guard_judge(filter, 1u << FILTER_INBOUND, &question, &verdict, &program);
	assert_int_equal(verdict.rule, verdict.allow ? 0 : FILTER_NO_RULE);
	return verdict.allow;
}

static bool lets_in(const char *text)
{
	return lets_in_by(atomic_load(&guard.filter), text);
}

static void own_rules_hold_for_own_addresses(void **state)
{
	struct addr own[] = {addr_from("10.90.0.2"), addr_from("10.91.0.2")};
	(void)state;
	assert_false(lets_in("10.90.0.2"));
	assert_int_equal(guard_set_own(&guard, own, 2), 0);
	assert_true(lets_in("10.90.0.2"));
	assert_true(lets_in("10.91.0.2"));
	assert_false(lets_in("10.30.0.10"));
	assert_false(lets_in("10.90.0.3"));
	assert_int_equal(guard_set_own(&guard, own, 1), 0);
	assert_false(lets_in("10.91.0.2"));
}

static void own_rules_on_trial_hold_for_the_same_addresses(void **state)
{
	_cleanup_(filter_freep) struct filter *filter = ping_to_this_node();
	struct guard_trial trial = {.filter = filter};
	struct addr own = addr_from("10.90.0.2");
	(void)state;
	assert_int_equal(guard_set_own(&guard, &own, 1), 0);
	while (guard_try(&guard, &trial))
		continue;
	assert_false(trial.failed);
	assert_true(lets_in_by(filter, "10.90.0.2"));
	assert_false(lets_in_by(filter, "10.30.0.10"));
}

// It takes a tenth of a millisecond, which a busy machine only makes longer.
static void on_cut(const struct flow *flow, void *data)
{
	unsigned *cut = data;
	uint64_t begun_ns = clock_ns();
	(void)flow;
	++*cut;
	while (clock_ns() - begun_ns < 100000)
		continue;
}

static void begin_flows(struct subject *subject, unsigned count)
{
	struct flow_start start = {
		.key = {.from = addr_from("10.90.0.2"),
			.to = addr_from("10.20.0.5"),
			.protocol = IPPROTO_UDP,
			.from_subject = subject->number},
		.from = subject,
		.own = true,
		.programs = 1u << FILTER_INBOUND,
		.now_s = (uint32_t)(clock_ms() / 1000),
	};
	struct flow *flow;
	for (unsigned i = 0; i < count; i++) {
		start.key.from_port = (uint16_t)i;
		assert_int_equal(flow_begin(guard.flows, &start, &flow), DROP_NONE);
	}
}

static void a_trial_takes_turns_however_many_flows_there_are(void **state)
{
	_cleanup_(filter_freep) struct filter *filter = ping_to_this_node();
	const struct flow_limits limits = {FLOWS, FLOWS};
	unsigned cut = 0, before = 0;
	struct guard_trial trial = {.filter = filter, .each = on_cut, .data = &cut};
	struct subject *subject;
	(void)state;
	flows_set_limits(guard.flows, &limits);
	assert_int_equal(guard_admit(&guard, "spiffe://d/a", false, &subject), 0);
	begin_flows(subject, FLOWS);
	while (guard_try(&guard, &trial)) {
		assert_true(cut - before <= TURN_FLOWS);
		before = cut;
	}
	assert_int_equal(trial.cut, FLOWS);
	assert_int_equal(cut, FLOWS);
	guard_leave(&guard, subject);
}

// A ping over the link.
static struct flow *flow_to(struct subject *gateway, const char *text)
{
	struct flow_start start = {
		.key = {.from = addr_from("10.90.0.1"),
			.to = addr_from(text),
			.protocol = IPPROTO_ICMP,
			.type = ICMP_ECHO,
			.from_subject = gateway->number},
		.from = gateway,
		.service = PING,
		.programs = 1u << FILTER_INBOUND,
		.program = FILTER_INBOUND,
		.generation = guard_generation(atomic_load(&guard.filter), gateway, NULL),
		.now_s = (uint32_t)(clock_ms() / 1000),
	};
	struct flow *flow;
	assert_true(lets_in(text));
	assert_int_equal(flow_begin(guard.flows, &start, &flow), DROP_NONE);
	return flow;
}

static void tend_all(void)
{
	struct flow_sweep all = {.now_s = (uint32_t)(clock_ms() / 1000)};
	unsigned left = (unsigned)flows_count(guard.flows);
	// Slices are as long as the machine lets them be.
	for (unsigned i = 0; i < 2000 && flows_count(guard.flows) == left; i++)
		guard_tend(&guard);
	while (!flows_sweep(guard.flows, &all))
		continue;
}

// Who may have an address pushed to this node, and another one in its place, reaches nobody who has the first one then.
static void flows_follow_the_addresses(void **state)
{
	struct addr own[] = {addr_from("10.90.0.2"), addr_from("10.91.0.2")};
	struct subject *gateway;
	(void)state;
	assert_int_equal(guard_set_own(&guard, own, 2), 0);
	assert_int_equal(guard_admit(&guard, "spiffe://corp.example/gateway/hq", true, &gateway),
			 0);
	struct flow *stays = flow_to(gateway, "10.90.0.2");
	flow_to(gateway, "10.91.0.2");
	assert_int_equal(guard_set_own(&guard, own, 1), 0);
	tend_all();
	assert_int_equal(flows_count(guard.flows), 1);
	assert_false(flow_is_over(stays, (uint32_t)(clock_ms() / 1000)));
	guard_leave(&guard, gateway);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(own_rules_hold_for_own_addresses, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(own_rules_on_trial_hold_for_the_same_addresses,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_trial_takes_turns_however_many_flows_there_are,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(flows_follow_the_addresses, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
