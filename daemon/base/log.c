// SPDX-License-Identifier: Apache-2.0

#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#define SD_JOURNAL_SUPPRESS_LOCATION // of callers: the fields say what happened
#include <systemd/sd-journal.h>

#include "base/clock.h"

#define LINE_MAX_BYTES	 2048
#define LIMIT_WINDOW_MS	 1000u
#define LIMIT_PER_WINDOW 5u
#define FIELDS_MAX	 64u // of an entry of the journal

static const struct {
	const char *name;
	const char *prefix; // sd-daemon(3)
} levels[] = {
	[LOG_LEVEL_ERROR] = {"error", "<3>"},
	[LOG_LEVEL_WARNING] = {"warning", "<4>"},
	[LOG_LEVEL_INFO] = {"info", "<6>"},
	[LOG_LEVEL_DEBUG] = {"debug", "<7>"},
};
#define LEVELS (sizeof(levels) / sizeof(levels[0]))

static _Atomic int current_level = LOG_LEVEL_INFO;
static pthread_once_t journal_once = PTHREAD_ONCE_INIT;
static bool to_journal;

void log_set_level(enum log_level level)
{
	atomic_store(&current_level, (int)level);
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load(&current_level);
}

int log_level_parse(const char *text, enum log_level *ret)
{
	for (unsigned i = 0; i < LEVELS; i++) {
		if (strcmp(text, levels[i].name) == 0) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *log_level_name(enum log_level level)
{
	return levels[level].name;
}

// systemd names the journal's stream in the environment; it is only ours when stderr still is that stream.
static void find_journal(void)
{
	struct stat info;
	char text[64];
	const char *stream = getenv("JOURNAL_STREAM");
	if (!stream || fstat(STDERR_FILENO, &info) < 0)
		return;
	snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)info.st_dev, (uintmax_t)info.st_ino);
	to_journal = strcmp(stream, text) == 0;
}

static size_t write_prefix(enum log_level level, char *line)
{
	struct timespec now;
	struct tm parts;
	if (to_journal)
		return (size_t)snprintf(line, 8, "%s", levels[level].prefix);
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &parts);
	size_t n = strftime(line, 32, "%Y-%m-%dT%H:%M:%S", &parts);
	return n + (size_t)snprintf(line + n, 32, ".%03ldZ %s: ", now.tv_nsec / 1000000,
				    levels[level].name);
}

void log_write(enum log_level level, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	va_list arguments;
	if ((int)level > atomic_load(&current_level))
		return;
	pthread_once(&journal_once, find_journal);
	size_t start = write_prefix(level, line);
	va_start(arguments, format);
	int n = vsnprintf(line + start, sizeof(line) - start - 1, format, arguments);
	va_end(arguments);
	if (n < 0)
		return;
	size_t end = start + (size_t)n;
	if (end > sizeof(line) - 2)
		end = sizeof(line) - 2;
	for (size_t i = start; i < end; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[end++] = '\n';
	// A log that cannot be written has nowhere to complain.
	if (write(STDERR_FILENO, line, end) < 0)
		return;
}

bool log_has_fields(void)
{
	pthread_once(&journal_once, find_journal);
	return to_journal;
}

void log_fields(enum log_level level, const struct iovec *fields, unsigned count)
{
	struct iovec parts[FIELDS_MAX];
	char priority[16];
	int size = snprintf(priority, sizeof(priority), "PRIORITY=%c", levels[level].prefix[1]);
	if ((int)level > atomic_load(&current_level) || !log_has_fields() || count >= FIELDS_MAX)
		return;
	memcpy(parts, fields, count * sizeof(parts[0]));
	parts[count] = (struct iovec){priority, (size_t)size};
	// As log_write(): nowhere to complain.
	(void)sd_journal_sendv(parts, (int)count + 1);
}

bool log_limit_pass(struct log_limit *limit, unsigned *ret_suppressed)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	uint64_t now = clock_ms();
	bool pass = true;
	*ret_suppressed = 0;
	pthread_mutex_lock(&lock);
	if (now - limit->window_ms >= LIMIT_WINDOW_MS) {
		*ret_suppressed = limit->suppressed;
		limit->window_ms = now;
		limit->count = 0;
		limit->suppressed = 0;
	}
	if (limit->count >= LIMIT_PER_WINDOW) {
		limit->suppressed++;
		pass = false;
	} else {
		limit->count++;
	}
	pthread_mutex_unlock(&lock);
	return pass;
}
