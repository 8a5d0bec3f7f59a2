// SPDX-License-Identifier: Apache-2.0
// A real loop, a data plane without workers.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <netinet/in.h>
#include <cmocka.h>

#include "base/clock.h"
#include "daemon/policy_role.h"
#include "tun/dataplane.h"
#include "tun/guard.h"
#include "unit/config_text.h"

#define POLICY(text) NODE GATEWAY "};\npolicy: {\n" text "\n};\n"
#define ALLOW(more)  "{ from = [\"any\"]; to = [\"any\"]; allow = [\"tcp/22\"]; " more "}"
#define ENDS	     2114380800 // 2037-01-01
#define ENDS_TEXT    "expires = \"2037-01-01T00:00:00Z\"; "
#define WAIT_MS	     10000u

static const char open_now[] = POLICY("rules = (" ALLOW("") ");");
static const char open_until[] = POLICY("rules = (" ALLOW(ENDS_TEXT) ");");
static const char shut[] = POLICY("rules = ();");

static struct world {
	sd_event *event;
	struct dataplane *dataplane;
	struct policy_role *role;
	unsigned told;
	int said;
	uint32_t generation; // when it was ready
} world;

static const struct filter *ruling(void)
{
	return atomic_load(&dataplane_guard(world.dataplane)->filter);
}

static bool passes(void)
{
	struct addr from;
	struct addr to;
	struct filter_verdict verdict;
	assert_int_equal(addr_parse("10.90.0.2", &from), 0);
	assert_int_equal(addr_parse("10.20.0.5", &to), 0);
	const struct filter_question question = {
		.program = FILTER_RULES,
		.from = {.addr = &from},
		.to = {.addr = &to},
		.protocol = IPPROTO_TCP,
		.port = 22,
	};
	filter_judge(ruling(), &question, &verdict);
	return verdict.allow;
}

static void on_ready(int r, void *data)
{
	assert_ptr_equal(data, &world);
	world.told++;
	world.said = r;
	world.generation = filter_generation(ruling());
}

static void prepare(const struct config *config)
{
	struct policy_made made;
	world.told = 0;
	assert_int_equal(policy_make(config->policy.model, clock_wall(), &made, NULL), 0);
	policy_role_prepare(world.role, &made, on_ready, &world);
	assert_null(made.filter);
	assert_int_equal(world.told, 0);
}

// Until it was told, or a filter of this generation rules.
static void run_until(unsigned told, uint32_t generation)
{
	uint64_t end = clock_ms() + WAIT_MS;
	while (world.told < told || filter_generation(ruling()) < generation) {
		assert_true(clock_ms() < end);
		assert_true(sd_event_run(world.event, 100000) >= 0);
	}
}

// Nothing is left to be done.
static void settle(void)
{
	while (sd_event_run(world.event, 20000) > 0)
		continue;
}

static void start(struct config *config)
{
	struct policy_made made;
	assert_int_equal(policy_make(config->policy.model, clock_wall(), &made, NULL), 0);
	policy_role_prepare(world.role, &made, NULL, NULL);
	policy_role_adopt(world.role, config);
	assert_int_equal(filter_generation(ruling()), 1);
}

static int set_up(void **state)
{
	const struct dataplane_options options = {.workers = 0, .mtu = 1400};
	(void)state;
	world = (struct world){0};
	assert_true(sd_event_new(&world.event) >= 0);
	assert_int_equal(dataplane_new(&options, &world.dataplane, NULL), 0);
	return policy_role_new(world.event, world.dataplane, &world.role, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	policy_role_free(world.role);
	dataplane_free(world.dataplane);
	sd_event_unref(world.event);
	clock_set_wall(0);
	return 0;
}

static void what_is_prepared_rules_when_adopted(void **state)
{
	_cleanup_(config_putp) struct config *before = parse(shut), *after = parse(open_now);
	(void)state;
	start(before);
	prepare(after);
	run_until(1, 0);
	assert_int_equal(world.said, 0);
	assert_false(passes());
	policy_role_adopt(world.role, after);
	assert_true(passes());
	assert_int_equal(filter_generation(ruling()), 2);
	assert_int_equal(policy_role_status(world.role).rules, 1);
}

static void what_is_dropped_never_rules(void **state)
{
	_cleanup_(config_putp) struct config *before = parse(shut), *after = parse(open_now);
	(void)state;
	start(before);
	prepare(after);
	policy_role_drop(world.role);
	settle();
	assert_int_equal(world.told, 0);
	prepare(after);
	run_until(1, 0);
	policy_role_drop(world.role);
	settle();
	assert_int_equal(filter_generation(ruling()), 1);
	assert_false(passes());
}

// While another policy is prepared, the clock passes the end of a rule of the one that judges: that is seen to once it is adopted, or
// dropped.
static void the_clock_waits_for_what_is_prepared(void **state)
{
	_cleanup_(config_putp) struct config *before = parse(open_until),
					     *after = parse(open_until);
	(void)state;
	clock_set_wall(ENDS - 1);
	start(before);
	assert_int_equal(policy_role_status(world.role).next_change, ENDS);
	prepare(after);
	run_until(1, 0);
	clock_set_wall(ENDS + 1);
	policy_role_clock_stepped(world.role);
	settle();
	assert_int_equal(filter_generation(ruling()), 1);
	policy_role_adopt(world.role, after);
	assert_true(passes());
	run_until(0, 3);
	assert_false(passes());
	assert_int_equal(policy_role_status(world.role).next_change, 0);

	clock_set_wall(ENDS - 1);
	prepare(after);
	policy_role_clock_stepped(world.role);
	policy_role_drop(world.role);
	run_until(0, 4);
	assert_true(passes());
}

static void what_is_prepared_waits_for_the_clock(void **state)
{
	_cleanup_(config_putp) struct config *before = parse(open_until), *after = parse(shut);
	(void)state;
	clock_set_wall(ENDS - 1);
	start(before);
	clock_set_wall(ENDS + 1);
	policy_role_clock_stepped(world.role);
	policy_role_clock_stepped(world.role);
	prepare(after);
	run_until(1, 0);
	assert_int_equal(world.generation, 2);
	policy_role_adopt(world.role, after);
	// The second step of the clock came while the first was being seen to.
	run_until(0, 4);
	settle();
	assert_int_equal(filter_generation(ruling()), 4);
	assert_false(passes());
}

// The step of the clock is seen to while the policy waits to be prepared, which was made by the clock of before.
static void what_was_made_too_late_is_made_again(void **state)
{
	_cleanup_(config_putp) struct config *before = parse(shut), *after = parse(open_until);
	struct policy_made made;
	(void)state;
	clock_set_wall(ENDS + 1);
	start(before);
	assert_int_equal(policy_make(after->policy.model, clock_wall(), &made, NULL), 0);
	clock_set_wall(ENDS - 1);
	policy_role_clock_stepped(world.role);
	run_until(0, 2);
	policy_role_prepare(world.role, &made, on_ready, &world);
	run_until(1, 0);
	policy_role_adopt(world.role, after);
	assert_false(passes());
	run_until(0, 4);
	assert_true(passes());
	assert_int_equal(policy_role_status(world.role).next_change, ENDS);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(what_is_prepared_rules_when_adopted),
		CASE(what_is_dropped_never_rules),
		CASE(the_clock_waits_for_what_is_prepared),
		CASE(what_is_prepared_waits_for_the_clock),
		CASE(what_was_made_too_late_is_made_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
