// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/gate.h"

#define START 5000000u

static const struct gate_limits wide = {
	.half_open = 512, .half_open_source = 8, .starts_per_second = 5, .starts_burst = 10};

static struct addr address(const char *text)
{
	struct addr addr;

	assert_int_equal(addr_parse(text, &addr), 0);
	return addr;
}

// The n-th address of 10.0.0.0/8.
static struct addr numbered(unsigned n)
{
	struct addr base = address("10.0.0.0"), addr;

	assert_true(addr_add(&base, n, &addr));
	return addr;
}

static void test_per_source(void **unused)
{
	(void)unused;
	_cleanup_(gate_freep) struct gate *gate = gate_new(&wide);
	struct gate_ticket tickets[8], ticket = {0};
	struct addr one = address("10.0.0.1"), two = address("10.0.0.2");

	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(gate_enter(gate, &one, START, &tickets[i]), GATE_PASS);
	assert_int_equal(gate_enter(gate, &one, START, &ticket), GATE_SOURCE);
	assert_int_equal(gate_enter(gate, &two, START, &ticket), GATE_PASS);
	gate_leave(gate, tickets[3], false, START);
	assert_int_equal(gate_enter(gate, &one, START, &tickets[3]), GATE_PASS);
	assert_int_equal(gate_half_open(gate), 9);
}

static void test_rate(void **unused)
{
	(void)unused;
	_cleanup_(gate_freep) struct gate *gate = gate_new(&wide);
	struct addr one = address("10.0.0.1");
	struct gate_ticket ticket;
	unsigned passed = 0;

	for (unsigned ms = 0; ms < 10000; ms++) {
		if (gate_enter(gate, &one, START + ms, &ticket) == GATE_PASS) {
			passed++;
			gate_leave(gate, ticket, false, START + ms);
		}
		if (ms == 0)
			assert_int_equal(passed, 1);
		if (ms == 150)
			assert_int_equal(passed, 10);
	}
	assert_in_range(passed, 59, 60);
	// After a long silence a burst again, and no more.
	for (passed = 0; gate_enter(gate, &one, UINT64_MAX / 2, &ticket) == GATE_PASS; passed++)
		gate_leave(gate, ticket, false, UINT64_MAX / 2);
	assert_int_equal(passed, 10);
}

static void test_proven_starts_do_not_count(void **unused)
{
	(void)unused;
	_cleanup_(gate_freep) struct gate *gate = gate_new(&wide);
	struct addr nat = address("192.0.2.1");
	struct gate_ticket ticket;

	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(gate_enter(gate, &nat, START, &ticket), GATE_PASS);
		gate_leave(gate, ticket, true, START);
	}
}

static void test_one_identity_has_a_rate(void **unused)
{
	(void)unused;
	_cleanup_(gate_freep) struct gate *gate = gate_new(&wide);
	unsigned excused = 0;
	char name[32];

	for (unsigned ms = 0; ms < 10000; ms++)
		excused += gate_excuses(gate, "spiffe://t/a", START + ms);
	assert_in_range(excused, 59, 60);
	while (gate_excuses(gate, "spiffe://t/a", START + 10000))
		excused++;
	assert_in_range(excused, 60, 61);
	for (unsigned i = 0; i < 1000; i++) { // others are not its concern
		snprintf(name, sizeof(name), "spiffe://t/%u", i);
		assert_true(gate_excuses(gate, name, START + 10000));
	}
	// Nor does a crowd of strangers make it new.
	for (unsigned n = 0; n < 1000000; n++) {
		struct addr addr = numbered(n);
		struct gate_ticket ticket;
		assert_int_equal(gate_enter(gate, &addr, START + 10000, &ticket), GATE_PASS);
		gate_leave(gate, ticket, false, START + 10000);
	}
	assert_false(gate_excuses(gate, "spiffe://t/a", START + 10001));
	assert_true(gate_excuses(gate, "spiffe://t/a", START + 10300));
}

static void test_knows_who_proved(void **unused)
{
	(void)unused;
	_cleanup_(gate_freep) struct gate *gate = gate_new(&wide);
	struct addr one = address("10.0.0.1"), two = address("10.0.0.2");
	struct gate_ticket first, second, other;

	assert_int_equal(gate_enter(gate, &one, START, &first), GATE_PASS);
	assert_false(gate_knows(gate, first, START));
	gate_leave(gate, first, true, START);
	assert_int_equal(gate_enter(gate, &one, START, &second), GATE_PASS);
	assert_int_equal(gate_enter(gate, &two, START, &other), GATE_PASS);
	assert_true(gate_knows(gate, second, START + GATE_PROVEN_MS - 1));
	assert_false(gate_knows(gate, second, START + GATE_PROVEN_MS));
	assert_false(gate_knows(gate, other, START));
}

static void test_ipv6_by_64(void **unused)
{
	(void)unused;
	_cleanup_(gate_freep) struct gate *gate = gate_new(&wide);
	struct addr base = address("2001:db8:0:1::"), addr, other = address("2001:db8:0:2::1");
	struct gate_ticket ticket;

	for (unsigned i = 0; i < 8; i++) {
		assert_true(addr_add(&base, i * UINT64_C(7919), &addr));
		assert_int_equal(gate_enter(gate, &addr, START, &ticket), GATE_PASS);
	}
	assert_int_equal(gate_enter(gate, &base, START, &ticket), GATE_SOURCE);
	assert_int_equal(gate_enter(gate, &other, START, &ticket), GATE_PASS);
}

static void test_early_drop(void **unused)
{
	(void)unused;
	unsigned refused_low = 0, refused_high = 0;

	for (unsigned round = 0; round < 200; round++) {
		_cleanup_(gate_freep) struct gate *gate = gate_new(&wide);
		struct gate_ticket ticket;
		for (unsigned n = 0; gate_half_open(gate) < 500; n++) {
			unsigned held = gate_half_open(gate);
			struct addr addr = numbered(round * 100000 + n);
			bool refused = gate_enter(gate, &addr, START, &ticket) == GATE_FULL;
			if (held < 256)
				assert_false(refused);
			refused_low += held == 320 && refused;
			refused_high += held == 480 && refused;
		}
	}
	assert_in_range(refused_low, 30, 120);	  // p = 1/4: 67 expected before the one that passes
	assert_in_range(refused_high, 800, 2400); // p = 7/8: 1400 expected
}

static void test_cap(void **unused)
{
	(void)unused;
	_cleanup_(gate_freep) struct gate *gate = gate_new(&wide);
	struct addr known = address("192.0.2.1");
	struct gate_ticket ticket;
	unsigned n = 0;

	assert_int_equal(gate_enter(gate, &known, START, &ticket), GATE_PASS);
	gate_leave(gate, ticket, true, START);
	while (gate_half_open(gate) < 511) {
		struct addr addr = numbered(n++);
		gate_enter(gate, &addr, START, &ticket);
	}
	// Strangers have hardly a chance any more, but who proved a certificate has.
	assert_int_equal(gate_enter(gate, &known, START + 1, &ticket), GATE_PASS);
	assert_int_equal(gate_half_open(gate), 512);
	assert_int_equal(gate_enter(gate, &known, START + 1, &ticket), GATE_FULL);
	for (unsigned i = 0; i < 1000; i++) {
		struct addr addr = numbered(n++);
		assert_int_equal(gate_enter(gate, &addr, START, &ticket), GATE_FULL);
	}
	gate_leave(gate, ticket, false, START + 1);
	assert_int_equal(gate_enter(gate, &known, START + GATE_PROVEN_MS - 1, &ticket), GATE_PASS);
}

// A million sources pass by: what is half open stays counted, and the proven source stays known.
static void test_table_is_bounded(void **unused)
{
	(void)unused;
	_cleanup_(gate_freep) struct gate *gate = gate_new(&wide);
	struct addr held = address("192.0.2.1"), known = address("192.0.2.2");
	struct gate_ticket tickets[8], ticket;

	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(gate_enter(gate, &held, START, &tickets[i]), GATE_PASS);
	assert_int_equal(gate_enter(gate, &known, START, &ticket), GATE_PASS);
	gate_leave(gate, ticket, true, START);
	for (unsigned n = 0; n < 1000000; n++) {
		struct addr addr = numbered(n);
		assert_int_equal(gate_enter(gate, &addr, START + n / 1000, &ticket), GATE_PASS);
		gate_leave(gate, ticket, false, START + n / 1000);
	}
	assert_int_equal(gate_enter(gate, &held, START + 1000, &ticket), GATE_SOURCE);
	for (unsigned n = 0; gate_half_open(gate) < 511; n++) {
		struct addr addr = numbered(n);
		gate_enter(gate, &addr, START + 1000, &ticket);
	}
	assert_int_equal(gate_enter(gate, &known, START + 1000, &ticket), GATE_PASS);
	for (unsigned i = 0; i < 8; i++)
		gate_leave(gate, tickets[i], false, START + 1000);
	assert_int_equal(gate_half_open(gate), 504);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_per_source),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_proven_starts_do_not_count),
		cmocka_unit_test(test_one_identity_has_a_rate),
		cmocka_unit_test(test_knows_who_proved),
		cmocka_unit_test(test_ipv6_by_64),
		cmocka_unit_test(test_early_drop),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_table_is_bounded),
	};

	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
