// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "base/log.h"

// What `speak` writes to stderr in a process of its own, with `journal`: whose stderr is the journal's stream.
static const char *capture(void (*speak)(void), bool journal, char *text, size_t size)
{
	int ends[2];
	size_t got = 0;
	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct stat info;
		char stream[64];
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		fstat(STDERR_FILENO, &info);
		snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)info.st_dev,
			 (uintmax_t)info.st_ino + !journal);
		setenv("JOURNAL_STREAM", stream, 1);
		speak();
		_exit(0);
	}
	close(ends[1]);
	for (ssize_t n; (n = read(ends[0], text + got, size - 1 - got)) > 0;)
		got += (size_t)n;
	close(ends[0]);
	waitpid(child, NULL, 0);
	text[got] = '\0';
	return text;
}

static void speak_of_all_levels(void)
{
	log_set_level(LOG_LEVEL_DEBUG);
	log_error("one %d", 1);
	log_warning("two");
	log_info("three");
	log_debug("four");
}

static void the_journal_gets_levels(void **state)
{
	char text[4096];

	(void)state;
	assert_string_equal(capture(speak_of_all_levels, true, text, sizeof(text)),
			    "<3>one 1\n<4>two\n<6>three\n<7>four\n");
}

static void others_get_the_time(void **state)
{
	// A d stands for a digit.
	static const char pattern[] = "2ddd-dd-ddTdd:dd:dd.dddZ error: one 1\n";
	char text[4096];

	(void)state;
	capture(speak_of_all_levels, false, text, sizeof(text));
	for (size_t i = 0; i < sizeof(pattern) - 1; i++)
		if (pattern[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != pattern[i])
			fail_msg("byte %zu of %s", i, text);
}

static void speak_of_little(void)
{
	log_info("a");
	log_debug("not by default");
	log_set_level(LOG_LEVEL_ERROR);
	log_warning("not any more");
	log_error("b");
}

static void the_level_filters(void **state)
{
	char text[4096];

	(void)state;
	assert_string_equal(capture(speak_of_little, true, text, sizeof(text)), "<6>a\n<3>b\n");
}

static void speak_badly(void)
{
	char longest[5000];
	log_info("a\nb\r\x1b[2J\x7f");
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	log_info("%s", longest);
}

static void a_line_is_a_line(void **state)
{
	char text[8192];

	(void)state;
	capture(speak_badly, true, text, sizeof(text));
	assert_int_equal(strncmp(text, "<6>a?b??[2J?\n<6>xxx", 19), 0);
	const char *second = strchr(text, '\n') + 1;
	assert_int_equal(strcspn(second, "\n"), strlen(second) - 1);
	assert_true(strlen(second) > 2000 && strlen(second) <= 2048);
}

static void levels_have_names(void **state)
{
	enum log_level level;

	(void)state;
	for (unsigned i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
		assert_int_equal(log_level_parse(log_level_name((enum log_level)i), &level), 0);
		assert_int_equal(level, i);
	}
	assert_int_equal(log_level_parse("", &level), -EINVAL);
	assert_int_equal(log_level_parse("Error", &level), -EINVAL);
	assert_int_equal(log_level_parse("info ", &level), -EINVAL);
	log_set_level(LOG_LEVEL_WARNING);
	assert_int_equal(log_get_level(), LOG_LEVEL_WARNING);
}

static void strangers_cannot_fill_the_log(void **state)
{
	struct log_limit limit = {0}, other = {0};
	unsigned suppressed, passed = 0;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		passed += log_limit_pass(&limit, &suppressed);
	assert_int_equal(passed, 5);
	assert_true(log_limit_pass(&other, &suppressed)); // another call site
	usleep(1010000);
	assert_true(log_limit_pass(&limit, &suppressed));
	assert_int_equal(suppressed, 95);
	assert_true(log_limit_pass(&limit, &suppressed));
	assert_int_equal(suppressed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_journal_gets_levels),
		cmocka_unit_test(others_get_the_time),
		cmocka_unit_test(the_level_filters),
		cmocka_unit_test(a_line_is_a_line),
		cmocka_unit_test(levels_have_names),
		cmocka_unit_test(strangers_cannot_fill_the_log),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
