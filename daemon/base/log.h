// SPDX-License-Identifier: Apache-2.0
// The log is for the operator. error: this relation ends; warning: works, but not as asked; info: one line per change
// of state; debug: the rest. Lines that a stranger can cause go through log_limited().
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

// One per call site of log_limited(); zeroed.
struct log_limit {
	uint64_t window_ms;
	unsigned count;
	unsigned suppressed;
};

// Lines above `level` are not written. Default: info. May be called at any time, from any thread.
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

// "error", "warning", "info", "debug" <-> level; parse returns -EINVAL for anything else.
int log_level_parse(const char *text, enum log_level *ret);
const char *log_level_name(enum log_level level);

// Writes one line to stderr, or to the journal where stderr is the journal's stream ("<6>" prefixes, sd-daemon(3)).
// Control characters are escaped. Threads may call it at once.
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

// An entry of the journal with fields of its own ("NAME=value", MESSAGE among them, no PRIORITY), for machines. It goes nowhere where
// log_has_fields() says that stderr is not the journal's.
struct iovec;
bool log_has_fields(void);
void log_fields(enum log_level level, const struct iovec *fields, unsigned count);

// Whether a line may be written now: 5 a second per call site; says how many were suppressed when it goes on.
bool log_limit_pass(struct log_limit *limit, unsigned *ret_suppressed);

#define log_error(...)	 log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)	 log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	 log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#define log_limited(level, ...)                                                               \
	do {                                                                                  \
		static struct log_limit limit_;                                               \
		unsigned suppressed_;                                                         \
		if (log_limit_pass(&limit_, &suppressed_)) {                                  \
			if (suppressed_)                                                      \
				log_write(level, "%u similar lines suppressed", suppressed_); \
			log_write(level, __VA_ARGS__);                                        \
		}                                                                             \
	} while (0)
