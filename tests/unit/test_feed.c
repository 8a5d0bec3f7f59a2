// SPDX-License-Identifier: Apache-2.0

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"
#include "daemon/feed.h"

static struct feed feed;
static unsigned wakenings, farewells;

static void on_woken(struct feed *woken)
{
	assert_ptr_equal(woken, &feed);
	wakenings++;
}

static void on_gone(void *data)
{
	assert_ptr_equal(data, &feed);
	farewells++;
}

static int set_up(void **state)
{
	(void)state;
	wakenings = farewells = 0;
	feed_init(&feed, on_woken);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	feed_done(&feed);
	return 0;
}

static void open_with(bool (*more)(struct feed *, void *))
{
	struct feed_source source = {.more = more, .gone = on_gone, .data = &feed};
	feed_open(&feed, &source);
}

// What a reader takes: the next line.
static json_t *take_line(void)
{
	const char *text = (const char *)buffer_head(&feed.out);
	const char *end = memchr(text, '\n', feed.out.size);
	assert_non_null(end);
	json_t *line = json_loadb(text, (size_t)(end - text), JSON_DECODE_ANY, NULL);
	buffer_consume(&feed.out, (size_t)(end - text) + 1);
	assert_non_null(line);
	return line;
}

static json_int_t take_number(const char *member)
{
	json_t *line = take_line();
	json_int_t number = json_integer_value(json_object_get(line, member));
	json_decref(line);
	return number;
}

static void expect_complete(void)
{
	json_t *line = take_line();
	assert_true(json_is_true(json_object_get(line, "complete")));
	json_decref(line);
	assert_int_equal(feed.out.size, 0);
}

static bool put_number(json_int_t number)
{
	return feed_put(&feed, json_pack("{s:I}", "n", number));
}

static void a_slow_reader_loses_lines_and_is_told(void **state)
{
	unsigned taken = 0;
	(void)state;
	open_with(NULL);
	assert_int_equal(wakenings, 0);
	while (put_number(taken))
		taken++;
	assert_true(taken > 10000 && feed.out.size <= FEED_BUFFER);
	assert_true(wakenings > taken);
	assert_false(put_number(-1));
	assert_false(put_number(-1));
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(take_number("n"), i);
	assert_true(put_number(7));
	for (unsigned i = 10; i < taken; i++)
		assert_int_equal(take_number("n"), i);
	assert_int_equal(take_number("lost"), 3);
	assert_int_equal(take_number("n"), 7);
	assert_int_equal(feed.out.size, 0);
	feed_end(&feed);
	assert_true(feed.ending);
	feed_done(&feed);
	assert_int_equal(farewells, 1);
	feed_init(&feed, on_woken);
}

static unsigned next;

static bool more(struct feed *asked, void *data)
{
	(void)asked;
	(void)data;
	for (unsigned i = 0; i < 1000; i++)
		assert_true(put_number(next++));
	return next < 100000;
}

// A table that would not fit is written as its reader takes it.
static void a_table_waits_for_its_reader(void **state)
{
	unsigned taken = 0;
	(void)state;
	next = 0;
	open_with(more);
	assert_int_equal(wakenings, 1);
	while (!feed.ending) {
		feed_fill(&feed);
		assert_true(feed.out.size < FEED_LOW + 32000);
		for (unsigned i = 0; i < 500 && feed.out.size > 0; i++)
			assert_int_equal(take_number("n"), taken++);
	}
	while (taken < 100000)
		assert_int_equal(take_number("n"), taken++);
	expect_complete();
}

static bool give_up(struct feed *asked, void *data)
{
	(void)data;
	feed_end(asked);
	return true;
}

// What is missing is not taken for nothing.
static void only_a_complete_table_says_so(void **state)
{
	(void)state;
	open_with(give_up);
	feed_fill(&feed);
	assert_true(feed.ending);
	feed_fill(&feed);
	assert_int_equal(feed.out.size, 0);
}

// Nothing is said before it is known whether there is anything to say.
static void what_takes_its_time_is_answered_later(void **state)
{
	(void)state;
	feed_later(&feed, on_gone, &feed);
	assert_true(feed.open && feed.later);
	feed_fill(&feed);
	assert_int_equal(feed.out.size, 0);
	assert_false(feed.ending);
	feed_answer(&feed, json_pack("{s:i}", "n", 7), NULL);
	assert_true(feed.ending);
	json_t *answer = take_line();
	assert_true(json_is_true(json_object_get(answer, "ok")));
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(answer, "result"), "n")), 7);
	json_decref(answer);
	feed_done(&feed);
	assert_int_equal(farewells, 1);
	feed_init(&feed, on_woken);
}

static void what_takes_its_time_may_be_refused(void **state)
{
	struct error error = {0};
	(void)state;
	feed_later(&feed, on_gone, &feed);
	error_set(&error, EBUSY, "not now");
	feed_answer(&feed, NULL, &error);
	assert_true(feed.ending);
	json_t *answer = take_line();
	assert_true(json_is_false(json_object_get(answer, "ok")));
	assert_string_equal(json_string_value(json_object_get(answer, "error")), "not now");
	json_decref(answer);
}

static void what_takes_its_time_may_go_on(void **state)
{
	(void)state;
	next = 98000;
	feed_later(&feed, on_gone, &feed);
	feed_fill(&feed);
	feed_begin(&feed, more);
	json_t *answer = take_line();
	assert_true(json_is_true(json_object_get(answer, "ok")));
	assert_true(json_is_true(json_object_get(answer, "feed")));
	json_decref(answer);
	feed_fill(&feed);
	feed_fill(&feed);
	assert_true(feed.ending);
	assert_int_equal(take_number("n"), 98000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_slow_reader_loses_lines_and_is_told, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_table_waits_for_its_reader, set_up, tear_down),
		cmocka_unit_test_setup_teardown(only_a_complete_table_says_so, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_takes_its_time_is_answered_later, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(what_takes_its_time_may_be_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(what_takes_its_time_may_go_on, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
