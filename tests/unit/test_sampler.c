// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/sampler.h"

#define EVERY 60000u

static struct sampler *sampler;
static unsigned written;
static uint64_t last_count, others;
static json_int_t last_kind, last_doer;

static void on_write(json_t *what, bool is_others, uint64_t count, void *data)
{
	assert_null(data);
	written++;
	if (is_others) {
		others += count;
		last_doer = json_integer_value(what);
		return;
	}
	last_count = count;
	last_kind = json_integer_value(what);
}

static json_t *describe(const void *subject)
{
	return json_integer(*(const int *)subject);
}

struct happened {
	int kind; // first: describe() is given it
	int doer;
};

static json_t *describe_doer(const void *subject)
{
	return json_integer(((const struct happened *)subject)->doer);
}

static void add_of(int doer, int kind, uint64_t count, uint64_t now_ms)
{
	struct happened happened = {kind, doer};
	struct sampler_event event = {
		.key = &happened,
		.size = sizeof(happened),
		.doer_key = &happened.doer,
		.doer_size = sizeof(happened.doer),
		.describe = describe,
		.describe_doer = describe_doer,
		.subject = &happened,
	};
	sampler_add(sampler, &event, count, now_ms);
}

static void add(int kind, uint64_t count, uint64_t now_ms)
{
	add_of(1, kind, count, now_ms);
}

static int set_up(void **state)
{
	(void)state;
	sampler = sampler_new(on_write, NULL);
	written = 0;
	others = 0;
	return sampler ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	sampler = sampler_free(sampler);
	return 0;
}

static void the_first_at_once_the_others_together(void **state)
{
	(void)state;
	add(7, 2, 1000);
	assert_int_equal(written, 1);
	assert_int_equal(last_count, 2);
	for (unsigned i = 0; i < 50; i++)
		add(7, 1, 2000 + i);
	add(8, 1, 2100);
	assert_int_equal(written, 2);
	assert_int_equal(last_kind, 8);
	sampler_tick(sampler, EVERY, 1000 + EVERY - 1);
	assert_int_equal(written, 2);
	sampler_tick(sampler, EVERY, 1000 + EVERY);
	assert_int_equal(written, 3);
	assert_int_equal(last_kind, 7);
	assert_int_equal(last_count, 50);
	// Nothing since: it is forgotten, and would be new again.
	sampler_tick(sampler, EVERY, 1000 + 3 * EVERY);
	assert_int_equal(written, 3);
	add(7, 1, 1001 + 3 * EVERY);
	assert_int_equal(written, 4);
	assert_int_equal(last_count, 1);
}

// Invents kinds until no more are taken; returns how many were.
static unsigned fill(int doer)
{
	unsigned before = written, attempts = SAMPLER_KINDS_MAX + 100;
	for (unsigned kind = 0; kind < attempts; kind++)
		add_of(doer, (int)kind, 1, 1000);
	return written - before;
}

static void nobody_takes_the_room_of_others(void **state)
{
	(void)state;
	unsigned first = fill(1);
	assert_in_range(first, SAMPLER_KINDS_MAX / 128, SAMPLER_KINDS_MAX / SAMPLER_SHARE);
	// Two hundred more of his sort, and still somebody else is heard at once.
	for (int doer = 2; doer < 200; doer++)
		assert_int_not_equal(fill(doer), 0);
	unsigned before = written;
	add_of(1000, 7, 3, 1000);
	assert_int_equal(written, before + 1);
	assert_int_equal(last_count, 3);
	assert_int_equal(last_kind, 7);
	sampler_tick(sampler, EVERY, 1000 + EVERY);
	assert_int_equal(others, (uint64_t)199 * (SAMPLER_KINDS_MAX + 100) - before);
}

static void others_are_told_by_who_did_them(void **state)
{
	(void)state;
	unsigned kept = fill(1);
	assert_int_equal(others, 0);
	sampler_tick(sampler, EVERY, 1000 + EVERY - 1);
	assert_int_equal(others, 0);
	sampler_tick(sampler, EVERY, 1000 + EVERY);
	assert_int_equal(written, kept + 1);
	assert_int_equal(others, SAMPLER_KINDS_MAX + 100 - kept);
	assert_int_equal(last_doer, 1);
	// All is forgotten, and there is as much room as before.
	sampler_tick(sampler, EVERY, 1000 + 3 * EVERY);
	assert_int_equal(written, kept + 1);
	assert_int_equal(fill(1), kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_first_at_once_the_others_together, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(nobody_takes_the_room_of_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(others_are_told_by_who_did_them, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
