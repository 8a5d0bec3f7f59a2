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
static json_int_t last_kind;

static void on_write(json_t *what, uint64_t count, void *data)
{
	assert_null(data);
	written++;
	if (!what) {
		others += count;
		return;
	}
	last_count = count;
	last_kind = json_integer_value(what);
}

static json_t *describe(const void *subject)
{
	return json_integer(*(const int *)subject);
}

static void add(int kind, uint64_t count, uint64_t now_ms)
{
	sampler_add(sampler, &kind, sizeof(kind), count, now_ms, describe, &kind);
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

static void kinds_are_bounded(void **state)
{
	(void)state;
	for (int kind = 0; kind < (int)SAMPLER_KINDS_MAX + 100; kind++)
		add(kind, 1, 1000);
	assert_int_equal(written, SAMPLER_KINDS_MAX);
	assert_int_equal(others, 0);
	sampler_tick(sampler, EVERY, 1001);
	assert_int_equal(written, SAMPLER_KINDS_MAX + 1);
	assert_int_equal(others, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_first_at_once_the_others_together, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(kinds_are_bounded, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
