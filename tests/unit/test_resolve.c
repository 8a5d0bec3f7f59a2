// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "client/resolve.h"

#define WAIT_US 20000000u

struct answer {
	sd_event *event;
	struct endpoint endpoints[RESOLVE_MAX];
	unsigned count;
	bool came;
};

static void on_done(const struct endpoint *endpoints, unsigned count, const char *reason,
		    void *data)
{
	struct answer *answer = data;
	answer->came = true;
	answer->count = count;
	memcpy(answer->endpoints, endpoints, count * sizeof(*endpoints));
	assert_true(count > 0 || reason[0] != '\0');
	sd_event_exit(answer->event, 0);
}

static int on_late(sd_event_source *source, uint64_t usec, void *data)
{
	(void)source;
	(void)usec;
	return sd_event_exit(data, 1);
}

static void resolve(const char *host, struct answer *ret)
{
	struct resolve *question;
	*ret = (struct answer){0};
	assert_true(sd_event_new(&ret->event) >= 0);
	assert_true(sd_event_add_time_relative(ret->event, NULL, CLOCK_MONOTONIC, WAIT_US, 0,
					       on_late, ret->event) >= 0);
	assert_int_equal(resolve_new(ret->event, host, 443, on_done, ret, &question), 0);
	assert_int_equal(sd_event_loop(ret->event), 0);
	assert_true(ret->came);
	sd_event_unref(ret->event);
}

static void addresses_are_taken_as_they_are(void **state)
{
	struct answer answer;
	struct endpoint want;
	(void)state;
	resolve("10.77.0.1", &answer);
	assert_int_equal(answer.count, 1);
	assert_int_equal(endpoint_parse("10.77.0.1:443", &want), 0);
	assert_true(endpoint_equal(&answer.endpoints[0], &want));
	resolve("fd00::7", &answer);
	assert_int_equal(answer.count, 1);
	assert_int_equal(endpoint_parse("[fd00::7]:443", &want), 0);
	assert_true(endpoint_equal(&answer.endpoints[0], &want));
}

static void a_name_that_is_none_says_why(void **state)
{
	struct answer answer;
	(void)state;
	resolve("no name at all", &answer);
	assert_int_equal(answer.count, 0);
}

static void a_question_can_be_given_up(void **state)
{
	struct answer answer = {0};
	struct resolve *question;
	(void)state;
	assert_true(sd_event_new(&answer.event) >= 0);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(
			resolve_new(answer.event, "10.77.0.1", 443, on_done, &answer, &question),
			0);
		assert_null(resolve_free(question));
	}
	assert_true(sd_event_run(answer.event, 100000) >= 0);
	assert_false(answer.came);
	sd_event_unref(answer.event);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_taken_as_they_are),
		cmocka_unit_test(a_name_that_is_none_says_why),
		cmocka_unit_test(a_question_can_be_given_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
