// SPDX-License-Identifier: Apache-2.0
// A real loop, real files. The source is included so that one test can bring the minute of the poll forward.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pki/watch.c" // NOLINT(bugprone-suspicious-include)

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"

#define SETTLED_MS 300 // nothing that was caused before is still to come
#define FILES	   3

static const char *const names[FILES] = {"node.crt", "node.key", "trust.crt"};

struct fixture {
	char root[64];
	char directory[96]; // root/pki
	char paths[FILES][160];
	sd_event *event;
	struct watch *watch;
	unsigned calls;
	uint64_t last_ms; // of the last call
};

static void on_change(void *data)
{
	struct fixture *fixture = data;

	fixture->calls++;
	fixture->last_ms = clock_ms();
}

static void run_for(struct fixture *fixture, unsigned ms)
{
	uint64_t end = clock_ms() + ms;

	for (uint64_t now; (now = clock_ms()) < end;)
		assert_true(sd_event_run(fixture->event, (end - now) * 1000) >= 0);
}

// Runs until a call came, for at most 3 s, and then until all is quiet. Returns how many calls came.
static unsigned calls_after(struct fixture *fixture)
{
	uint64_t end = clock_ms() + 3000;

	fixture->calls = 0;
	while (fixture->calls == 0 && clock_ms() < end)
		run_for(fixture, 10);
	run_for(fixture, SETTLED_MS);
	return fixture->calls;
}

static unsigned calls_in_quiet(struct fixture *fixture)
{
	fixture->calls = 0;
	run_for(fixture, SETTLED_MS);
	return fixture->calls;
}

// In place, as a shell's ">" does.
static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void put_all(const struct fixture *fixture, const char *text)
{
	for (size_t i = 0; i < FILES; i++)
		put(fixture->paths[i], text);
}

static void start(struct fixture *fixture)
{
	const char *paths[FILES];

	for (size_t i = 0; i < FILES; i++)
		paths[i] = fixture->paths[i];
	assert_int_equal(
		watch_new(fixture->event, paths, FILES, on_change, fixture, &fixture->watch), 0);
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	strcpy(fixture->root, "/tmp/mutun-test-XXXXXX");
	assert_non_null(mkdtemp(fixture->root));
	snprintf(fixture->directory, sizeof(fixture->directory), "%s/pki", fixture->root);
	for (size_t i = 0; i < FILES; i++)
		snprintf(fixture->paths[i], sizeof(fixture->paths[i]), "%s/%s", fixture->directory,
			 names[i]);
	assert_int_equal(sd_event_new(&fixture->event), 0);
	*state = fixture;
	return 0;
}

static int setup_with_files(void **state)
{
	setup(state);
	struct fixture *fixture = *state;
	assert_int_equal(mkdir(fixture->directory, 0700), 0);
	put_all(fixture, "one");
	start(fixture);
	return 0;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
	(void)info;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	watch_free(fixture->watch);
	sd_event_unref(fixture->event);
	nftw(fixture->root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(fixture);
	return 0;
}

static void test_in_place(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(calls_in_quiet(fixture), 0);
	put(fixture->paths[0], "two");
	assert_int_equal(calls_after(fixture), 1);
	put(fixture->paths[2], "two");
	assert_int_equal(calls_after(fixture), 1);
}

static void test_unchanged_rewrite(void **state)
{
	struct fixture *fixture = *state;
	char other[200];

	put_all(fixture, "one");
	assert_int_equal(calls_in_quiet(fixture), 0);
	snprintf(other, sizeof(other), "%s/new", fixture->directory);
	put(other, "one");
	assert_int_equal(rename(other, fixture->paths[1]), 0);
	assert_int_equal(calls_in_quiet(fixture), 0);
	// A neighbour is none of ours.
	put(other, "two");
	assert_int_equal(calls_in_quiet(fixture), 0);
}

static void test_rename(void **state)
{
	struct fixture *fixture = *state;
	char other[200];

	for (unsigned i = 0; i < 3; i++) {
		snprintf(other, sizeof(other), "%s/.new", fixture->directory);
		put(other, i % 2 ? "three" : "two");
		assert_int_equal(rename(other, fixture->paths[0]), 0);
		assert_int_equal(calls_after(fixture), 1);
	}
}

static void test_written_through_another_directory(void **state)
{
	struct fixture *fixture = *state;
	char other[200];

	snprintf(other, sizeof(other), "%s/elsewhere", fixture->root);
	put(other, "two");
	assert_int_equal(rename(other, fixture->paths[0]), 0);
	assert_int_equal(calls_after(fixture), 1);
}

static void test_truncate_then_write(void **state)
{
	struct fixture *fixture = *state;
	int fd = open(fixture->paths[1], O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_true(fd >= 0);
	run_for(fixture, 300); // a writer that takes its time
	assert_int_equal(write(fd, "two", 3), 3);
	run_for(fixture, 300);
	assert_int_equal(fixture->calls, 0);
	close(fd);
	assert_int_equal(calls_after(fixture), 1);
}

// spiffe-helper: certificate, key, bundle, one after another in place. False: the machine was too slow for one burst.
static bool write_burst(struct fixture *fixture, const char *text, uint64_t *ret_written_ms)
{
	uint64_t before_ms = clock_ms();

	fixture->calls = 0;
	for (size_t i = 0; i < FILES; i++) {
		put(fixture->paths[i], text);
		*ret_written_ms = clock_ms();
		if (*ret_written_ms - before_ms >= 95)
			return false;
		before_ms = *ret_written_ms;
		if (i + 1 < FILES)
			run_for(fixture, 60);
	}
	return true;
}

static void test_burst(void **state)
{
	static const char *const texts[] = {"two", "three", "four", "five", "six", "seven"};
	struct fixture *fixture = *state;
	uint64_t written_ms;
	size_t i = 0;

	while (!write_burst(fixture, texts[i], &written_ms)) {
		calls_after(fixture);
		if (++i == sizeof(texts) / sizeof(texts[0]))
			skip();
	}
	assert_int_equal(fixture->calls, 0);
	assert_int_equal(calls_after(fixture), 1);
	assert_in_range(fixture->last_ms - written_ms, 99, 3000);
}

static void test_vanished(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(unlink(fixture->paths[0]), 0);
	assert_int_equal(calls_after(fixture), 1);
	put(fixture->paths[0], "one");
	assert_int_equal(calls_after(fixture), 1);
}

static void test_directory_moved(void **state)
{
	struct fixture *fixture = *state;
	char away[200];

	snprintf(away, sizeof(away), "%s/away", fixture->root);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(rename(fixture->directory, away), 0);
		assert_int_equal(calls_after(fixture), 1);
		assert_int_equal(rename(away, fixture->directory), 0);
		assert_int_equal(calls_after(fixture), 1);
		put(fixture->paths[1], i % 2 ? "three" : "two");
		assert_int_equal(calls_after(fixture), 1);
	}
	// Away and back at once is no change.
	assert_int_equal(rename(fixture->directory, away), 0);
	assert_int_equal(rename(away, fixture->directory), 0);
	assert_int_equal(calls_in_quiet(fixture), 0);
	put(fixture->paths[2], "four");
	assert_int_equal(calls_after(fixture), 1);
}

static void test_directory_replaced(void **state)
{
	struct fixture *fixture = *state;
	char away[200];

	snprintf(away, sizeof(away), "%s/away", fixture->root);
	assert_int_equal(rename(fixture->directory, away), 0);
	assert_int_equal(mkdir(fixture->directory, 0700), 0);
	put_all(fixture, "two");
	assert_int_equal(calls_after(fixture), 1);
	put(fixture->paths[0], "three");
	assert_int_equal(calls_after(fixture), 1);
}

static void test_not_there_yet(void **state)
{
	struct fixture *fixture = *state;

	// Two directories are missing.
	snprintf(fixture->directory, sizeof(fixture->directory), "%s/a/b", fixture->root);
	for (size_t i = 0; i < FILES; i++)
		snprintf(fixture->paths[i], sizeof(fixture->paths[i]), "%s/a/b/%s", fixture->root,
			 names[i]);
	start(fixture);
	assert_int_equal(calls_in_quiet(fixture), 0);
	char *slash = strrchr(fixture->directory, '/');
	*slash = '\0';
	assert_int_equal(mkdir(fixture->directory, 0700), 0);
	*slash = '/';
	assert_int_equal(calls_in_quiet(fixture), 0);
	assert_int_equal(mkdir(fixture->directory, 0700), 0);
	put_all(fixture, "one");
	assert_int_equal(calls_after(fixture), 1);
	put(fixture->paths[0], "two");
	assert_int_equal(calls_after(fixture), 1);
}

// One generation of a mounted volume, step by step as kubelet's AtomicWriter does it; the old one goes at the end.
static void swap_generation(const struct fixture *fixture, unsigned generation)
{
	char directory[200], path[300], text[32], target[64], data[200], temporary[200];

	snprintf(target, sizeof(target), "..2026_%u", generation);
	snprintf(directory, sizeof(directory), "%s/%s", fixture->directory, target);
	assert_int_equal(mkdir(directory, 0755), 0);
	snprintf(text, sizeof(text), "generation %u", generation);
	for (size_t i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		put(path, text);
	}
	snprintf(temporary, sizeof(temporary), "%s/..data_tmp", fixture->directory);
	snprintf(data, sizeof(data), "%s/..data", fixture->directory);
	assert_int_equal(symlink(target, temporary), 0);
	assert_int_equal(rename(temporary, data), 0);
	if (generation == 0)
		return;
	snprintf(directory, sizeof(directory), "%s/..2026_%u", fixture->directory, generation - 1);
	for (size_t i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(rmdir(directory), 0);
}

static void test_mounted_volume(void **state)
{
	struct fixture *fixture = *state;
	char target[64];

	assert_int_equal(mkdir(fixture->directory, 0755), 0);
	swap_generation(fixture, 0);
	for (size_t i = 0; i < FILES; i++) {
		snprintf(target, sizeof(target), "..data/%s", names[i]);
		assert_int_equal(symlink(target, fixture->paths[i]), 0);
	}
	start(fixture);
	assert_int_equal(calls_in_quiet(fixture), 0);
	for (unsigned i = 1; i <= 100; i++) {
		uint64_t end = clock_ms() + 3000;
		fixture->calls = 0;
		swap_generation(fixture, i);
		while (fixture->calls == 0 && clock_ms() < end)
			run_for(fixture, 5);
		if (fixture->calls != 1)
			fail_msg("%u calls after swap %u", fixture->calls, i);
	}
	assert_int_equal(calls_in_quiet(fixture), 0);
	// No watch is left on what is gone: 3 names in ..data, "..data", 3 links, and the directories' own names.
	assert_in_range(fixture->watch->spots.count, 1, 10);
}

// The whole directory is a link, and it changes its target.
static void test_linked_directory(void **state)
{
	struct fixture *fixture = *state;
	char one[200], two[200], temporary[200];

	watch_free(fixture->watch);
	snprintf(one, sizeof(one), "%s/one", fixture->root);
	snprintf(two, sizeof(two), "%s/two", fixture->root);
	snprintf(temporary, sizeof(temporary), "%s/link", fixture->root);
	assert_int_equal(rename(fixture->directory, one), 0);
	assert_int_equal(symlink("one", fixture->directory), 0);
	start(fixture);
	assert_int_equal(mkdir(two, 0700), 0);
	assert_int_equal(symlink(two, temporary), 0);
	assert_int_equal(calls_in_quiet(fixture), 0);
	assert_int_equal(rename(temporary, fixture->directory), 0);
	assert_int_equal(calls_after(fixture), 1); // nothing is there
	put_all(fixture, "two");
	assert_int_equal(calls_after(fixture), 1);
}

static void test_links_in_a_circle(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(mkdir(fixture->directory, 0700), 0);
	assert_int_equal(symlink("node.key", fixture->paths[0]), 0);
	assert_int_equal(symlink("node.crt", fixture->paths[1]), 0);
	start(fixture);
	assert_int_equal(calls_in_quiet(fixture), 0);
	assert_int_equal(unlink(fixture->paths[1]), 0);
	put(fixture->paths[1], "one");
	assert_int_equal(calls_after(fixture), 1);
}

// What inotify does not tell: the file is changed under a name in a directory that nobody watches.
static void test_poll(void **state)
{
	struct fixture *fixture = *state;
	char other[200];

	snprintf(other, sizeof(other), "%s/away", fixture->root);
	assert_int_equal(mkdir(other, 0700), 0);
	snprintf(other, sizeof(other), "%s/away/link", fixture->root);
	assert_int_equal(link(fixture->paths[0], other), 0);
	assert_int_equal(calls_in_quiet(fixture), 0);
	put(other, "two");
	assert_int_equal(calls_in_quiet(fixture), 0);
	uint64_t due;
	assert_int_equal(sd_event_source_get_time(fixture->watch->poll, &due), 0);
	assert_in_range(due / 1000 - clock_ms(), 50000, 60000);
	sd_event_source_set_time_relative(fixture->watch->poll, 1000);
	assert_int_equal(calls_after(fixture), 1);
	assert_int_equal(sd_event_source_get_time(fixture->watch->poll, &due), 0);
	assert_in_range(due / 1000 - clock_ms(), 50000, 60000);
}

// Neighbours fill the queue of events until it overflows: what the kernel had to tell of our file is lost.
static void test_overflow(void **state)
{
	struct fixture *fixture = *state;
	char limit[32] = {0}, other[200];
	int fd = open("/proc/sys/fs/inotify/max_queued_events", O_RDONLY | O_CLOEXEC);

	assert_true(read(fd, limit, sizeof(limit) - 1) > 0);
	close(fd);
	long events = strtol(limit, NULL, 10);
	if (events > 200000)
		skip();
	snprintf(other, sizeof(other), "%s/other", fixture->directory);
	for (long i = 0; i <= events; i += 3) { // created, closed, deleted
		put(other, "");
		assert_int_equal(unlink(other), 0);
	}
	put(fixture->paths[0], "two");
	assert_int_equal(calls_after(fixture), 1);
	put(fixture->paths[0], "three");
	assert_int_equal(calls_after(fixture), 1);
}

static void test_again(void **state)
{
	struct fixture *fixture = *state;
	uint64_t asked_ms = clock_ms();

	watch_again(fixture->watch, 200);
	assert_int_equal(calls_after(fixture), 1);
	assert_in_range(fixture->last_ms - asked_ms, 199, 3000);
	assert_int_equal(calls_in_quiet(fixture), 0);

	// A change that comes first answers it.
	watch_again(fixture->watch, 400);
	put(fixture->paths[0], "two");
	assert_int_equal(calls_after(fixture), 1);

	// What the second look saw is no change afterwards.
	put(fixture->paths[0], "three");
	watch_again(fixture->watch, 0);
	assert_int_equal(calls_after(fixture), 1);
}

static void free_watch(void *data)
{
	struct fixture *fixture = data;

	fixture->calls++;
	fixture->watch = watch_free(fixture->watch);
}

static void test_freed_by_the_callback(void **state)
{
	struct fixture *fixture = *state;

	fixture->watch->changed = free_watch;
	put_all(fixture, "two");
	assert_int_equal(calls_after(fixture), 1);
	assert_null(fixture->watch);
}

static void test_relative_path(void **state)
{
	struct fixture *fixture = *state;
	const char *const path = "node.crt";

	watch_free(fixture->watch);
	assert_int_equal(chdir(fixture->directory), 0);
	assert_int_equal(watch_new(fixture->event, &path, 1, on_change, fixture, &fixture->watch),
			 0);
	assert_int_equal(chdir("/"), 0);
	put(fixture->paths[0], "two");
	assert_int_equal(calls_after(fixture), 1);
}

#define test(function, before) cmocka_unit_test_setup_teardown(function, before, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_in_place, setup_with_files),
		test(test_unchanged_rewrite, setup_with_files),
		test(test_rename, setup_with_files),
		test(test_written_through_another_directory, setup_with_files),
		test(test_truncate_then_write, setup_with_files),
		test(test_burst, setup_with_files),
		test(test_vanished, setup_with_files),
		test(test_directory_moved, setup_with_files),
		test(test_directory_replaced, setup_with_files),
		test(test_not_there_yet, setup),
		test(test_mounted_volume, setup),
		test(test_linked_directory, setup_with_files),
		test(test_links_in_a_circle, setup),
		test(test_poll, setup_with_files),
		test(test_overflow, setup_with_files),
		test(test_again, setup_with_files),
		test(test_freed_by_the_callback, setup_with_files),
		test(test_relative_path, setup_with_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
