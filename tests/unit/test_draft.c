// SPDX-License-Identifier: Apache-2.0
// A real loop, real files.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "daemon/draft.h"
#include "daemon/terms.h"
#include "unit/config_text.h"

#define RULE(service) "{ from = [\"any\"]; to = [\"any\"]; allow = [\"" service "\"]; }"
#define POLICY(rules) NODE GATEWAY "};\npolicy: { rules = (" rules "); };\n"
#define WAIT_MS	      10000u

static struct world {
	char path[64];
	sd_event *event;
	struct drafts drafts;
	struct draft *draft;
	unsigned told;
	bool frees;
} world;

static void write_file(const char *text)
{
	FILE *file = fopen(world.path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
	(void)state;
	world = (struct world){.path = "/tmp/mutun-draft-XXXXXX"};
	int fd = mkstemp(world.path);
	assert_true(fd >= 0);
	close(fd);
	return sd_event_new(&world.event) < 0;
}

static int tear_down(void **state)
{
	(void)state;
	draft_free(world.draft);
	drafts_done(&world.drafts);
	sd_event_unref(world.event);
	return unlink(world.path);
}

static void on_done(struct draft *draft, void *data)
{
	assert_ptr_equal(data, &world);
	assert_ptr_equal(draft, world.draft);
	world.told++;
	if (world.frees)
		world.draft = draft_free(draft);
}

static void begin(struct config *config)
{
	struct draft_wish wish = {
		.path = world.path,
		.config = config,
		.done = on_done,
		.data = &world,
	};
	assert_int_equal(draft_new(world.event, &world.drafts, &wish, &world.draft, NULL), 0);
	assert_int_equal(world.drafts.count, 1);
}

// Until no job runs.
static void run(void)
{
	uint64_t end = clock_ms() + WAIT_MS;
	while (world.drafts.count > 0) {
		assert_true(clock_ms() < end);
		assert_true(sd_event_run(world.event, 100000) >= 0);
	}
	assert_null(world.drafts.first);
}

static void has_all_that_the_files_say(void **state)
{
	(void)state;
	write_file(POLICY(RULE("tcp/22") ", " RULE("tcp/443")));
	begin(NULL);
	run();
	assert_int_equal(world.told, 1);
	assert_int_equal(world.draft->error.code, 0);
	assert_int_equal(world.draft->config->policy.model->rule_count, 2);
	assert_non_null(world.draft->policy.filter);
	assert_int_equal(strlen(world.draft->policy.digest), POLICY_DIGEST_SIZE - 1);
	assert_null(world.draft->errors);
}

// In order, so that nobody has to sort them when they come into force.
static void has_what_the_gateway_makes_of_it(void **state)
{
	static const char *const wanted[] = {"10.30.0.0/16", "10.90.0.0/16", "10.95.0.0/16"};
	char text[PREFIX_TEXT_MAX];
	(void)state;
	write_file(NODE GATEWAY "sites = ( { identity = \"spiffe://corp.example/site/a\"; "
				"networks = [ \"10.95.0.0/16\", \"10.30.0.0/16\" ]; } ); };");
	begin(NULL);
	run();
	assert_int_equal(world.draft->error.code, 0);
	assert_non_null(world.draft->terms);
	assert_int_equal(world.draft->terms->peer_count, 1);
	assert_int_equal(world.draft->terms->estate.peer_count, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_string_equal(prefix_text(&world.draft->terms->estate.peers[i], text),
				    wanted[i]);
	assert_string_equal(prefix_text(&world.draft->terms->estate.addresses[0], text),
			    "10.90.0.1/16");
}

static void says_all_that_is_wrong(void **state)
{
	(void)state;
	write_file(POLICY(RULE("tcp/22") ", " RULE("tcp/nowhere") ", " RULE("carrier-pigeon")));
	begin(NULL);
	run();
	assert_int_equal(world.draft->error.code, EINVAL);
	assert_null(world.draft->config);
	assert_null(world.draft->policy.filter);
	assert_int_equal(config_errors_count(world.draft->errors), 2);
	assert_string_equal(config_errors_at(world.draft->errors, 0)->where,
			    world.draft->error.where);
}

// The files do not count.
static void makes_the_policy_of_another_one_again(void **state)
{
	_cleanup_(config_putp) struct config *config = parse(POLICY(RULE("udp/53")));
	(void)state;
	write_file("node: {");
	begin(config);
	run();
	assert_int_equal(world.draft->error.code, 0);
	assert_ptr_equal(world.draft->config, config);
	assert_non_null(world.draft->policy.filter);
	world.draft = draft_free(world.draft);
	assert_int_equal(config->references, 0);
}

static void keeps_nobody_waiting_who_gives_up(void **state)
{
	(void)state;
	write_file(POLICY(RULE("tcp/22")));
	begin(NULL);
	world.draft = draft_free(world.draft);
	assert_int_equal(world.drafts.count, 1);
	run();
	begin(NULL);
	world.draft = draft_free(world.draft);
	drafts_done(&world.drafts);
	assert_int_equal(world.drafts.count, 0);
	while (sd_event_run(world.event, 0) > 0)
		continue;
	assert_int_equal(world.told, 0);
}

static void may_go_when_it_is_done(void **state)
{
	(void)state;
	world.frees = true;
	write_file(POLICY(RULE("tcp/22")));
	begin(NULL);
	run();
	assert_int_equal(world.told, 1);
	assert_null(world.draft);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(has_all_that_the_files_say),
		CASE(has_what_the_gateway_makes_of_it),
		CASE(says_all_that_is_wrong),
		CASE(makes_the_policy_of_another_one_again),
		CASE(keeps_nobody_waiting_who_gives_up),
		CASE(may_go_when_it_is_done),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
