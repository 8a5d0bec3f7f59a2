// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/slices.h"

#define SLICES 1000u

static sd_event *event;
static sd_event_source *slices;
static unsigned done, answered, longest, since;

static int set_up(void **state)
{
	(void)state;
	done = answered = longest = since = 0;
	return sd_event_new(&event) < 0;
}

static int tear_down(void **state)
{
	(void)state;
	slices = sd_event_source_disable_unref(slices);
	event = sd_event_unref(event);
	return 0;
}

static int on_slice(sd_event_source *source, uint64_t usec, void *data)
{
	(void)usec;
	(void)data;
	since++;
	longest = since > longest ? since : longest;
	if (++done < SLICES)
		slices_go_on(source);
	return 0;
}

// A question that waits all the time.
static int on_question(sd_event_source *source, int fd, uint32_t events, void *data)
{
	(void)source;
	(void)fd;
	(void)events;
	(void)data;
	answered++;
	since = 0;
	return 0;
}

static void all_else_has_its_turn(void **state)
{
	sd_event_source *question;
	(void)state;
	int fd = eventfd(1, EFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(slices_new(event, on_slice, NULL, &slices), 0);
	assert_true(sd_event_add_io(event, &question, fd, EPOLLIN, on_question, NULL) >= 0);
	assert_true(sd_event_run(event, 1000) >= 0);
	assert_int_equal(done, 0);
	slices_go_on(slices);
	for (unsigned i = 0; done < SLICES; i++) {
		assert_true(i < 100 * SLICES);
		assert_true(sd_event_run(event, 1000000) >= 0);
	}
	assert_true(longest <= 2);
	assert_true(answered >= SLICES / 2);
	sd_event_source_disable_unref(question);
	close(fd);
	assert_int_equal(sd_event_run(event, 1000), 0);
	assert_int_equal(done, SLICES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_else_has_its_turn, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
