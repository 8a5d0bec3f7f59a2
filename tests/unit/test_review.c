// SPDX-License-Identifier: Apache-2.0
// The review alone, over members that are none: who is judged, in which order, and what one turn of the loop costs.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <errno.h>
#include <cmocka.h>

#include "server/review.c"
#include "server/roster.c"
#include "unit/context_fixture.h"
#include "unit/spent.h"

#define MANY	10000u
#define TURN_MS 50u // of the processor; a turn has 5 ms
#define WAIT_US 1000000u

struct member {
	uint64_t number;
	char identity[16];
	bool bad, cut, gone;
	unsigned judged, kept;
};

static struct member members[MANY];
static unsigned cut_count, ended_count;
static bool whole_seen;
static struct roster *roster;
static struct review *review;
static struct tls_context *context;
static sd_event *event;

uint64_t *member_number(struct member *member)
{
	return &member->number;
}

const char *member_identity(const struct member *member)
{
	return member->identity;
}

int member_judge(struct member *member, struct tls_context *with, bool whole,
		 enum bye_code *ret_code, struct error *error)
{
	assert_ptr_equal(with, context);
	member->judged++;
	whole_seen = whole;
	*ret_code = BYE_REVOKED;
	for (volatile unsigned i = 0; i < 2000; i++)
		continue; // a while
	return member->bad ? error_set(error, EACCES, "revoked") : 0;
}

void member_cut(struct member *member, enum bye_code code, const char *text)
{
	assert_int_equal(code, BYE_REVOKED);
	assert_string_equal(text, "revoked");
	assert_int_equal(ended_count, 0); // everybody's keys go before anybody is taken down
	member->cut = true;
	cut_count++;
}

bool member_is_cut(const struct member *member, struct message_bye *ret)
{
	*ret = (struct message_bye){.code = BYE_REVOKED};
	return member->cut;
}

struct session *member_session(const struct member *member)
{
	(void)member;
	return NULL;
}

const char *session_name(const struct session *session)
{
	(void)session;
	return "somebody";
}

static void on_end(struct member *member, const struct message_bye *bye, void *data)
{
	(void)data;
	assert_int_equal(bye->code, BYE_REVOKED);
	assert_true(member->cut && !member->gone);
	member->gone = true;
	ended_count++;
	roster_remove(roster, member);
}

static void on_keep(struct member *member, const char *reason, void *data)
{
	(void)data;
	assert_string_equal(reason, "because");
	member->kept++;
}

static int set_up(void **state)
{
	struct review_tools tools = {.end = on_end, .keep = on_keep};
	struct fixture *root = fixture_root("root");
	struct fixture *leaf = fixture_leaf(root, FIXTURE_GATEWAY);
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	context = fixture_context(TLS_SERVER, leaf, root);
	fixture_free(leaf);
	fixture_free(root);
	memset(members, 0, sizeof(members));
	cut_count = ended_count = 0;
	if (sd_event_new(&event) < 0)
		return -1;
	tools.event = event;
	tools.roster = roster = roster_new();
	review = review_new(&tools);
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(members[i].identity, sizeof(members[i].identity), "%u", i);
		assert_int_equal(roster_add(roster, &members[i]), 0);
	}
	return review && context ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	review_free(review);
	roster_free(roster);
	tls_context_put(context);
	event = sd_event_unref(event);
	return 0;
}

// Turns of the loop until nothing is left to do. Returns their number.
static unsigned run(void)
{
	unsigned turns = 0;
	uint64_t begin = spent_ms();
	while (review->stage != REVIEW_IDLE && sd_event_run(event, WAIT_US) > 0) {
		assert_true(spent_ms() - begin < TURN_MS);
		begin = spent_ms();
		turns++;
	}
	return turns;
}

static void those_that_fail_go_and_nobody_else(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MANY; i += 7)
		members[i].bad = true;
	review_start(review, context, false, NULL);
	assert_true(run() > 1);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(members[i].judged, 1);
		assert_int_equal(members[i].gone, members[i].bad);
		assert_int_equal(members[i].kept, 0);
	}
	assert_int_equal(cut_count, ended_count);
	assert_false(whole_seen);
}

static void who_leaves_meanwhile_is_left_out(void **state)
{
	(void)state;
	review_start(review, context, true, "because");
	assert_true(sd_event_run(event, WAIT_US) > 0);
	for (unsigned i = 0; i < MANY; i += 2)
		roster_remove(roster, &members[i]);
	run();
	for (unsigned i = 1; i < MANY; i += 2)
		assert_true(members[i].judged == 1 && members[i].kept == 1);
	assert_true(whole_seen);
}

// One that is under way is begun anew, and what it had to do is not forgotten.
static void another_one_takes_over(void **state)
{
	(void)state;
	review_start(review, context, true, "because");
	assert_true(sd_event_run(event, WAIT_US) > 0);
	members[MANY - 1].bad = true;
	review_start(review, context, false, NULL);
	run();
	assert_true(whole_seen && members[MANY - 1].gone && members[0].kept == 1);
	assert_int_equal(ended_count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(those_that_fail_go_and_nobody_else, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(who_leaves_meanwhile_is_left_out, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(another_one_takes_over, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
