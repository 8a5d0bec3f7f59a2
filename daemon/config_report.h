// SPDX-License-Identifier: Apache-2.0
// All that is wrong with the files of a configuration, each error with its place. Only for the files config*.c; the others
// see struct config_errors through config.h.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <libconfig.h>

#include "daemon/config.h"
#include "daemon/config_source.h"

#define CONFIG_ERRORS_MAX 1000u // more are only counted
#define CONFIG_PLACE_MAX  128	// "file:line", the front of a long file name cut off

struct error;

// Empty; NULL: out of memory.
struct config_errors *config_errors_new(void);
// Puts them into the order of the files and says how many were too many.
void config_errors_finish(struct config_errors *errors);

// The file that a setting stands in, borrowed.
const struct config_source *config_source_of(const config_setting_t *at);
// "/etc/mutun/mutun.conf:12". Returns `text`.
const char *config_place_text(const config_setting_t *at, char text[CONFIG_PLACE_MAX]);
// "the string "abc"", "a list": what stands there. Returns `text`.
const char *config_found_text(const config_setting_t *at, char *text, size_t size);
#define CONFIG_FOUND_MAX 128

// Adds an error about the setting that stands `at`, with its place and its path ("gateway.sites[2].networks[0]").
struct error *config_fault(struct config_errors *errors, const config_setting_t *at,
			   const char *format, ...) __attribute__((format(printf, 3, 4)));
// The same text stands at `first` already.
void config_fault_twice(struct config_errors *errors, const config_setting_t *at, const char *what,
			const config_setting_t *first, const char *expected);
// Adds an error about a line, or (line 0) about the whole file.
struct error *config_fault_line(struct config_errors *errors, const struct config_source *source,
				unsigned line, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
