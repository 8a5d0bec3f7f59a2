// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/clock_watch.h"

static void on_stepped(int64_t step_s, void *data)
{
	*(int64_t *)data += step_s;
}

static void a_step_is_found(void **unused)
{
	sd_event *event = NULL;
	struct clock_watch *watch = NULL;
	int64_t step = 0;

	(void)unused;
	assert_true(sd_event_new(&event) >= 0);
	assert_int_equal(clock_watch_new(event, on_stepped, &step, &watch), 0);
	clock_watch_look(watch);
	assert_int_equal(step, 0);
	clock_set_wall(time(NULL) + 86400);
	clock_watch_look(watch);
	assert_in_range(step, 86399, 86401);
	clock_watch_look(watch); // said once
	assert_in_range(step, 86399, 86401);
	clock_set_wall(time(NULL) - 86400);
	clock_watch_look(watch);
	assert_in_range(step + INT64_C(172800), 86398, 86402);
	clock_set_wall(0);
	clock_watch_free(watch);
	sd_event_unref(event);
}

static void its_timer_never_comes(void **unused)
{
	sd_event *event = NULL;
	struct clock_watch *watch = NULL;
	int64_t step = 0;

	(void)unused;
	assert_true(sd_event_new(&event) >= 0);
	assert_int_equal(clock_watch_new(event, on_stepped, &step, &watch), 0);
	assert_int_equal(sd_event_run(event, 20000), 0); // nothing was there to do
	clock_watch_free(watch);
	sd_event_unref(event);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_step_is_found),
		cmocka_unit_test(its_timer_never_comes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
