// SPDX-License-Identifier: Apache-2.0
// What a person will read when something is refused: what, where, what was expected, and the remedy.
// Functions that can fail for reasons a user must understand take a `struct error *`, which may be NULL, return a
// negative errno, and write the error only when they fail.
#pragma once

#include <stddef.h>

struct error {
	int code;	    // positive errno
	char where[192];    // file:line, setting, peer; may be empty
	char what[384];	    // what happened, with what was found
	char expected[192]; // what would have been right; may be empty
	char remedy[256];   // what to do about it; may be empty
};

// Sets code and `what`, clears the rest. Returns -code, so that `return error_set(...)` does.
int error_set(struct error *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

// Adds the other parts; they leave what is set alone and return -code. A NULL error returns -EINVAL.
int error_where(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
int error_expected(struct error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
int error_remedy(struct error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

// Writes the whole error as one line, "where: what; expected ...; remedy", control characters escaped. Returns `text`.
const char *error_text(const struct error *error, char *text, size_t size);
#define ERROR_TEXT_MAX 1100
