// SPDX-License-Identifier: Apache-2.0

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/job.h"

#define WAIT_US 10000000u

struct work {
	sd_event *event;
	struct job *job;
	pthread_t ran_on, told_on;
	sigset_t blocked;
	int niceness;
	atomic_bool let_go, ran;
	bool free_at_end;
	unsigned told;
};

static void run(struct job *job, void *data)
{
	struct work *work = data;

	work->ran_on = pthread_self();
	pthread_sigmask(SIG_SETMASK, NULL, &work->blocked);
	work->niceness = getpriority(PRIO_PROCESS, 0);
	while (!work->let_go && !job_cancelled(job))
		usleep(100);
	work->ran = true;
}

static void done(void *data)
{
	struct work *work = data;

	work->told++;
	work->told_on = pthread_self();
	if (work->free_at_end)
		work->job = job_free(work->job);
	sd_event_exit(work->event, 0);
}

static int set_up(void **state)
{
	struct work *work = calloc(1, sizeof(*work));

	assert_true(sd_event_new(&work->event) >= 0);
	*state = work;
	return 0;
}

static int tear_down(void **state)
{
	struct work *work = *state;

	job_free(work->job);
	sd_event_unref(work->event);
	free(work);
	return 0;
}

static void begin(struct work *work)
{
	struct job_work what = {.run = run, .done = done, .data = work};

	assert_int_equal(job_new(work->event, &what, &work->job), 0);
}

static void tells_its_end_on_the_loop(void **state)
{
	struct work *work = *state;

	begin(work);
	// The loop goes on meanwhile.
	assert_int_equal(sd_event_run(work->event, 20000), 0);
	assert_int_equal(work->told, 0);
	work->let_go = true;
	assert_true(sd_event_loop(work->event) >= 0);
	assert_int_equal(work->told, 1);
	assert_true(pthread_equal(work->told_on, pthread_self()));
	assert_false(pthread_equal(work->ran_on, pthread_self()));
}

static void takes_no_signals(void **state)
{
	struct work *work = *state;

	work->let_go = true;
	begin(work);
	assert_true(sd_event_loop(work->event) >= 0);
	assert_true(sigismember(&work->blocked, SIGTERM));
	assert_true(sigismember(&work->blocked, SIGHUP));
}

// And nobody else: on Linux, niceness is a thread's own.
static void lets_others_go_first(void **state)
{
	struct work *work = *state;
	int before = getpriority(PRIO_PROCESS, 0);

	work->let_go = true;
	begin(work);
	assert_true(sd_event_loop(work->event) >= 0);
	assert_true(work->niceness >= 15);
	assert_int_equal(getpriority(PRIO_PROCESS, 0), before);
}

static void may_be_freed_at_its_end(void **state)
{
	struct work *work = *state;

	work->free_at_end = true;
	work->let_go = true;
	begin(work);
	assert_true(sd_event_loop(work->event) >= 0);
	assert_null(work->job);
	assert_int_equal(work->told, 1);
}

// Whoever frees it hears no more of it, and it has ended then.
static void ends_when_it_is_freed(void **state)
{
	struct work *work = *state;

	begin(work);
	work->job = job_free(work->job);
	assert_true(work->ran);
	assert_int_equal(sd_event_run(work->event, 1000), 0);
	assert_int_equal(work->told, 0);
}

// Its end waits in the loop when it is freed.
static void is_freed_between_end_and_telling(void **state)
{
	struct work *work = *state;

	work->let_go = true;
	begin(work);
	while (!work->ran)
		usleep(100);
	work->job = job_free(work->job);
	assert_int_equal(sd_event_run(work->event, 1000), 0);
	assert_int_equal(work->told, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tells_its_end_on_the_loop, set_up, tear_down),
		cmocka_unit_test_setup_teardown(takes_no_signals, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lets_others_go_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(may_be_freed_at_its_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ends_when_it_is_freed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(is_freed_between_end_and_telling, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
