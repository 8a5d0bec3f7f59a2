// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "daemon/trail.h"

#define PATIENCE_MS 20000u
#define LINE_SIZE   50u // with its newline

static char directory[64], path[96];
static struct trail *trail;

static int set_up(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/test_trail.XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/log/audit.jsonl", directory);
	return 0;
}

static const char *place(const char *suffix)
{
	static char text[128];
	snprintf(text, sizeof(text), "%s%s", path, suffix);
	return text;
}

static int tear_down(void **state)
{
	static const char *const suffixes[] = {"", ".1", ".2", ".3", ".old"};
	char log[80];
	(void)state;
	trail = trail_free(trail);
	for (unsigned i = 0; i < 5; i++)
		unlink(place(suffixes[i]));
	snprintf(log, sizeof(log), "%s/log", directory);
	rmdir(log);
	return rmdir(directory);
}

static void make_log(void)
{
	char log[80];
	snprintf(log, sizeof(log), "%s/log", directory);
	assert_int_equal(mkdir(log, 0700), 0);
}

static void begin(uint64_t size, unsigned keep)
{
	struct trail_options options = {.path = path, .size = size, .keep = keep};
	assert_int_equal(trail_new(&options, &trail), 0);
}

static void put(unsigned from, unsigned count)
{
	char line[LINE_SIZE + 1];
	for (unsigned i = from; i < from + count; i++) {
		snprintf(line, sizeof(line), "%-49u", i);
		trail_put(trail, line, LINE_SIZE - 1);
	}
}

static struct trail_status status(void)
{
	struct trail_status now;
	trail_status(trail, &now);
	return now;
}

static void wait_written(uint64_t lines)
{
	uint64_t until = clock_ms() + PATIENCE_MS;
	while (status().written < lines && clock_ms() < until)
		usleep(1000);
	assert_int_equal(status().written, lines);
}

static char *contents(const char *suffix, size_t *ret_size)
{
	char *text;
	if (file_read(place(suffix), 64u << 20, &text, ret_size) < 0)
		fail_msg("no %s", place(suffix));
	return text;
}

// The file has exactly these lines.
static void expect(const char *suffix, unsigned from, unsigned count)
{
	size_t size;
	char *text = contents(suffix, &size);
	assert_int_equal(size, count * LINE_SIZE);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(strtoul(text + i * LINE_SIZE, NULL, 10), from + i);
	free(text);
}

static void files_turn_round(void **state)
{
	struct stat info;
	(void)state;
	make_log();
	begin(10 * LINE_SIZE, 2);
	put(0, 45);
	wait_written(45);
	expect("", 40, 5);
	expect(".1", 30, 10);
	expect(".2", 20, 10);
	assert_int_not_equal(access(place(".3"), F_OK), 0);
	assert_int_equal(status().rotated, 4);
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0600);
	// What is there is gone on with.
	trail = trail_free(trail);
	begin(10 * LINE_SIZE, 2);
	put(45, 1);
	wait_written(1);
	expect("", 40, 6);
}

static void it_is_opened_anew_when_it_was_renamed(void **state)
{
	struct trail_options options = {.path = path, .size = 1u << 20, .keep = 1};
	char old[128];
	(void)state;
	make_log();
	begin(1u << 20, 1);
	put(0, 1);
	wait_written(1);
	strcpy(old, place(".old"));
	assert_int_equal(rename(path, old), 0);
	put(1, 1);
	wait_written(2);
	assert_int_equal(trail_set(trail, &options), 0);
	put(2, 1);
	wait_written(3);
	expect(".old", 0, 2);
	expect("", 2, 1);
}

static void a_missing_directory_is_waited_for(void **state)
{
	uint64_t until = clock_ms() + PATIENCE_MS;
	(void)state;
	begin(1u << 20, 1);
	put(0, 3);
	while (status().problem.code == 0 && clock_ms() < until)
		usleep(1000);
	assert_non_null(strstr(status().problem.what, "No such file"));
	put(3, 3);
	make_log();
	wait_written(6);
	expect("", 0, 6);
	assert_int_equal(status().lost, 0);
	assert_int_equal(status().problem.code, 0);
}

static void what_finds_no_room_is_told(void **state)
{
	size_t size;
	unsigned lines = 2 * TRAIL_WAITING_MAX / LINE_SIZE + 1000;
	uint64_t until = clock_ms() + PATIENCE_MS;
	(void)state;
	begin(64u << 20, 1);
	put(0, 1);
	while (status().problem.code == 0 && clock_ms() < until)
		usleep(1000);
	put(1, lines - 1);
	uint64_t lost = status().lost;
	assert_true(lost >= 1000 && lost < lines);
	make_log();
	wait_written(lines - lost + 1);
	char *text = contents("", &size);
	char told[64];
	snprintf(told, sizeof(told), "{\"event\":\"lost\",\"count\":%u}\n", (unsigned)lost);
	assert_non_null(strstr(text, told));
	free(text);
}

// A disk that is full in the middle of a line.
static void no_line_is_ever_half(void **state)
{
	struct rlimit before, full;
	uint64_t until = clock_ms() + PATIENCE_MS;
	(void)state;
	make_log();
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	full = before;
	full.rlim_cur = 10 * LINE_SIZE + 20;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
	begin(1u << 20, 1);
	put(0, 5);
	wait_written(5);
	put(5, 50);
	while (status().problem.code == 0 && clock_ms() < until)
		usleep(1000);
	size_t size;
	char *text = contents("", &size);
	assert_int_equal(size % LINE_SIZE, 0);
	free(text);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	wait_written(55);
	expect("", 0, 55);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(files_turn_round, set_up, tear_down),
		cmocka_unit_test_setup_teardown(it_is_opened_anew_when_it_was_renamed, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_missing_directory_is_waited_for, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(what_finds_no_room_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_line_is_ever_half, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
