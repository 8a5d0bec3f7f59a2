// SPDX-License-Identifier: Apache-2.0
// The walk alone, over links and sessions that are none: what is told where they come and go between two turns.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/feed.h"
#include "daemon/session_feed.c"

#define LINKS 4u

struct initiator {
	const char *name;
	bool up;
};

static struct initiator links[LINKS];
static unsigned link_count;
static uint64_t members; // numbers 1 to so many
static bool has_gateway;
static struct feed feed;
static char told[256];

struct initiator *engine_initiator(const struct engine *engine, unsigned position)
{
	(void)engine;
	return position < link_count ? &links[position] : NULL;
}

struct gateway *engine_gateway(const struct engine *engine)
{
	return has_gateway ? (struct gateway *)(uintptr_t)engine : NULL;
}

const char *initiator_name(const struct initiator *link)
{
	return link->name;
}

const struct session *gateway_before(const struct gateway *gateway, uint64_t *cursor,
				     const struct grant **ret_grant)
{
	*ret_grant = NULL;
	*cursor = *cursor > members ? members : *cursor - 1;
	return *cursor > 0 ? (const struct session *)gateway : NULL;
}

bool report_is_up(const struct initiator *link)
{
	return link->up;
}

// A line that is all that belongs into one turn.
static json_t *line(const char *text)
{
	assert_true(strlen(told) + strlen(text) + 1 < sizeof(told));
	strcat(strcat(told, text), " ");
	feed.out.size = FEED_BUFFER;
	return json_null();
}

json_t *report_link_session(const struct engine *engine, const struct initiator *link)
{
	(void)engine;
	return line(link->name);
}

json_t *report_member(const struct session *session, const struct grant *grant)
{
	(void)session;
	(void)grant;
	return line("member");
}

static void on_woken(struct feed *woken)
{
	(void)woken;
}

static int set_up(void **state)
{
	static char engine; // an address
	struct error error;
	(void)state;
	feed_init(&feed, on_woken);
	told[0] = '\0';
	has_gateway = true;
	members = 2;
	link_count = 3;
	links[0] = (struct initiator){"c", true};
	links[1] = (struct initiator){"a", true};
	links[2] = (struct initiator){"b", false};
	return session_feed_open((struct engine *)(void *)&engine, NULL, &feed, &error);
}

static int tear_down(void **state)
{
	(void)state;
	feed_done(&feed);
	return 0;
}

// One turn, after which the reader has taken all. false: that was the last.
static bool turn(void)
{
	feed.out.size = 0;
	bool left = feed.source.more(&feed, feed.source.data);
	feed.out.size = 0;
	return left;
}

static void each_is_told_once_and_links_by_their_names(void **state)
{
	unsigned turns = 0;
	(void)state;
	while (turn())
		assert_true(++turns < 10);
	assert_string_equal(told, "a c member member ");
	assert_int_equal(turns, 4);
}

static void links_that_go_and_come_do_not_hide_others(void **state)
{
	(void)state;
	members = 0;
	assert_true(turn());
	links[1] = links[2]; // "a" goes, and all others have another place
	links[2] = (struct initiator){"d", true};
	links[3] = (struct initiator){"aa", true};
	links[1].up = true;
	link_count = 4;
	while (turn())
		continue;
	assert_string_equal(told, "a aa b c d ");
}

static void a_gateway_that_goes_is_the_end(void **state)
{
	(void)state;
	link_count = 0;
	assert_true(turn());
	has_gateway = false;
	assert_false(turn());
	assert_string_equal(told, "member ");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(each_is_told_once_and_links_by_their_names),
		CASE(links_that_go_and_come_do_not_hide_others),
		CASE(a_gateway_that_goes_is_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
