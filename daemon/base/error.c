// SPDX-License-Identifier: Apache-2.0

#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *error, int code, const char *format, ...)
{
	va_list arguments;
	if (!error)
		return -code;
	memset(error, 0, sizeof(*error));
	error->code = code;
	va_start(arguments, format);
	vsnprintf(error->what, sizeof(error->what), format, arguments);
	va_end(arguments);
	return -code;
}

#define SET_PART(error, part, format)                                                \
	do {                                                                         \
		va_list arguments_;                                                  \
		if (!(error))                                                        \
			return -EINVAL;                                              \
		va_start(arguments_, format);                                        \
		vsnprintf((error)->part, sizeof((error)->part), format, arguments_); \
		va_end(arguments_);                                                  \
	} while (0)

int error_where(struct error *error, const char *format, ...)
{
	SET_PART(error, where, format);
	return -error->code;
}

int error_expected(struct error *error, const char *format, ...)
{
	SET_PART(error, expected, format);
	return -error->code;
}

int error_remedy(struct error *error, const char *format, ...)
{
	SET_PART(error, remedy, format);
	return -error->code;
}

static size_t append(char *text, size_t size, size_t at, const char *before, const char *part)
{
	if (part[0] == '\0' || at >= size)
		return at;
	int n = snprintf(text + at, size - at, "%s%s", before, part);
	return n < 0 ? at : at + (size_t)n;
}

const char *error_text(const struct error *error, char *text, size_t size)
{
	size_t at = 0;
	text[0] = '\0';
	at = append(text, size, at, "", error->where);
	at = append(text, size, at, at ? ": " : "", error->what);
	at = append(text, size, at, "; expected ", error->expected);
	append(text, size, at, "; ", error->remedy);
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	return text;
}
