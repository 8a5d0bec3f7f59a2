// SPDX-License-Identifier: Apache-2.0
// The socket alone, with two commands: a table without an end, and an answer that takes its time.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/control.h"
#include "daemon/feed.h"
#include "daemon/request.h"

#define NOBODY	65534u
#define OTHER	65533u
#define THIRD	65532u
#define FOURTH	65531u
#define CLIENTS 50u

static sd_event *event;
static struct control *control;
static char directory[64], path[96];
static int clients[CLIENTS];
static unsigned count, opened, refused;
static bool takes_time;
static struct feed *later;
static unsigned farewells;

static void on_gone(void *data)
{
	(void)data;
	farewells++;
}

static bool more(struct feed *feed, void *data)
{
	(void)feed;
	(void)data;
	return true;
}

json_t *request_run(const struct request *request, struct error *error)
{
	const struct feed_source source = {.more = more};
	(void)error;
	if (request->crowded) {
		refused++;
		return NULL;
	}
	opened++;
	if (takes_time) {
		later = request->feed;
		feed_later(later, on_gone, NULL);
		return NULL;
	}
	feed_open(request->feed, &source);
	return json_true();
}

static int set_up(void **state)
{
	(void)state;
	count = opened = refused = farewells = 0;
	takes_time = false;
	snprintf(directory, sizeof(directory), "/tmp/mutun-control-XXXXXX");
	if (!mkdtemp(directory) || chmod(directory, 0755) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/sock", directory);
	return sd_event_new(&event) < 0 || control_new(event, path, NULL, &control, NULL) < 0;
}

static int tear_down(void **state)
{
	(void)state;
	while (count > 0)
		close(clients[--count]);
	control_free(control);
	sd_event_unref(event);
	return rmdir(directory);
}

static int connect_as(uid_t uid)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0 && count < CLIENTS);
	clients[count++] = fd;
	memcpy(name.sun_path, path, strlen(path));
	assert_int_equal(seteuid(uid), 0);
	int r = connect(fd, (const struct sockaddr *)&name, sizeof(name));
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(r, 0);
	return fd;
}

// Whether there is one more feed now.
static bool ask(uid_t uid)
{
	static const char line[] = "{\"command\": \"table\"}\n";
	unsigned before = opened, asked = opened + refused;
	int fd = connect_as(uid);
	assert_int_equal(send(fd, line, strlen(line), 0), (ssize_t)strlen(line));
	while (opened + refused == asked)
		assert_true(sd_event_run(event, UINT64_MAX) > 0);
	return opened > before;
}

static void who_only_looks_does_not_keep_out_who_may_act(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	while (ask(NOBODY))
		continue;
	assert_true(opened >= 1);
	assert_true(ask(0));
	assert_false(ask(NOBODY));
	while (ask(0))
		continue;
	assert_int_equal(opened, 16);
}

// The loop until there is nothing to do, which must come.
static void settle(void)
{
	unsigned turns = 0;
	while (sd_event_run(event, 0) > 0)
		assert_true(++turns < 100);
}

// How many connections that say nothing one user can have.
static unsigned hold_all(uid_t uid)
{
	char text[128];
	ssize_t size = -1;
	unsigned held = 0;
	while (size < 0) {
		int fd = connect_as(uid);
		settle();
		size = recv(fd, text, sizeof(text), MSG_DONTWAIT);
		held += size < 0;
	}
	assert_non_null(memmem(text, (size_t)size, "too many", 8));
	assert_int_equal(recv(clients[count - 1], text, sizeof(text), MSG_DONTWAIT), 0);
	return held;
}

// Whatever they say, or do not say: each has a few places, all of them together have some, and root has its own.
static void who_only_looks_does_not_hold_all_connections(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	takes_time = true;
	assert_int_equal(hold_all(NOBODY), 8);
	assert_int_equal(hold_all(OTHER), 8);
	assert_int_equal(hold_all(THIRD), 8);
	assert_int_equal(hold_all(FOURTH), 0);
	assert_true(ask(0));
	assert_int_equal(hold_all(0), 7);
	// Who goes makes room.
	close(clients[0]);
	clients[0] = clients[--count];
	settle();
	assert_true(ask(0));
}

static void who_says_nothing_more_may_listen(void **state)
{
	char text[64];
	(void)state;
	if (geteuid() != 0)
		skip();
	takes_time = true;
	assert_true(ask(0));
	assert_int_equal(shutdown(clients[0], SHUT_WR), 0);
	settle();
	assert_int_equal(farewells, 0);
	feed_answer(later, json_true(), NULL);
	settle();
	assert_int_equal(farewells, 1);
	assert_true(recv(clients[0], text, sizeof(text), MSG_DONTWAIT) > 0);
}

static void who_is_gone_is_noticed(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	takes_time = true;
	assert_true(ask(0));
	assert_int_equal(shutdown(clients[0], SHUT_WR), 0);
	settle();
	close(clients[--count]);
	settle();
	assert_true(ask(0));
	close(clients[--count]);
	settle();
	assert_int_equal(farewells, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_only_looks_does_not_keep_out_who_may_act,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_only_looks_does_not_hold_all_connections,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_says_nothing_more_may_listen, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(who_is_gone_is_noticed, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
