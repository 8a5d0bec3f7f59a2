// SPDX-License-Identifier: Apache-2.0
// libconfig 1.5 is trusted with the grammar only. What it would take silently or die of is looked for before it sees the
// text: NUL bytes end its input, numbers beyond 32 bits lose their upper bits, @include of a directory ends the process.

#include "daemon/config_source.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "daemon/config_report.h"

struct config_source *config_source_new(const char *path, unsigned order)
{
	struct config_source *source = calloc(1, sizeof(*source));
	if (!source)
		return NULL;
	config_init(&source->tree);
	source->order = order;
	source->path = strdup(path);
	return source->path ? source : config_source_free(source);
}

struct config_source *config_source_free(struct config_source *source)
{
	if (!source)
		return NULL;
	config_destroy(&source->tree);
	free(source->path);
	free(source);
	return NULL;
}

// Comments and strings hold anything; returns the end of the one that begins here, or `text` when none does.
static const char *skip_opaque(const char *text)
{
	const char *end = text;
	if (*text == '#' || (text[0] == '/' && text[1] == '/'))
		return text + strcspn(text, "\n");
	if (text[0] == '/' && text[1] == '*') {
		end = strstr(text + 2, "*/");
		return end ? end + 2 : text + strlen(text);
	}
	if (*text != '"')
		return text;
	for (end = text + 1; *end && *end != '"'; end++)
		if (*end == '\\' && end[1])
			end++;
	return *end ? end + 1 : end;
}

// Whether libconfig would keep only the lower 32 bits of the number that begins here; `ret_end` gets its end.
static bool number_overflows(const char *text, const char **ret_end)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	char *end;
	errno = 0;
	unsigned long long value = strtoull(text, &end, hex ? 16 : 10);
	bool wide = value > (hex ? UINT32_MAX : INT32_MAX);
	bool marked = *end == 'L' || (!hex && strchr(".eE", *end) && *end);
	bool lost = errno == ERANGE || (wide && !marked);
	*ret_end = end;
	while (isalnum((unsigned char)**ret_end) || **ret_end == '.')
		++*ret_end;
	return lost;
}

static unsigned count_lines(const char *from, const char *to)
{
	unsigned lines = 0;
	for (; from < to; from++)
		lines += *from == '\n';
	return lines;
}

// The end of a number or name that begins here, or of the one character. A number that is too large becomes an error.
static const char *check_token(const struct config_source *source, const char *text, unsigned line,
			       struct config_errors *errors, bool *good)
{
	const char *end = text;
	struct error *error;
	if (!isdigit((unsigned char)*text)) {
		// Digits within names are no numbers.
		while (isalnum((unsigned char)*end) || *end == '_' || *end == '*')
			end++;
		return end == text ? end + 1 : end;
	}
	if (!number_overflows(text, &end))
		return end;
	*good = false;
	error = config_fault_line(errors, source, line, "the number %.*s is too large",
				  (int)(end - text > 40 ? 40 : end - text), text);
	error_expected(error, "a number up to 2147483647, or one that ends in \"L\"");
	return end;
}

// Looks at the text outside of comments and strings.
static bool check_numbers(const struct config_source *source, const char *text,
			  struct config_errors *errors)
{
	unsigned line = 1;
	bool good = true;
	while (*text) {
		const char *end = skip_opaque(text);
		if (end == text)
			end = check_token(source, text, line, errors, &good);
		line += count_lines(text, end);
		text = end;
	}
	return good;
}

// Judged by the line alone, as libconfig's scanner begins: to see one too many is better than one too few.
static bool check_includes(const struct config_source *source, const char *text,
			   struct config_errors *errors)
{
	unsigned line = 1;
	bool good = true;
	struct error *error;
	for (;; line++) {
		text += strspn(text, " \t");
		if (strncmp(text, "@include", 8) == 0) {
			good = false;
			error = config_fault_line(errors, source, line,
						  "@include is not available");
			error_remedy(error, "put the file into the directory of further files, see "
					    "mutun.conf(5)");
		}
		text = strchr(text, '\n');
		if (!text)
			return good;
		text++;
	}
}

int config_source_parse(struct config_source *source, const char *text, size_t size,
			struct config_errors *errors)
{
	if (size > CONFIG_FILE_MAX) {
		struct error *error = config_fault_line(errors, source, 0, "the file is too large");
		error_expected(error, "at most %u bytes", CONFIG_FILE_MAX);
		return -EINVAL;
	}
	const char *nul = memchr(text, '\0', size);
	if (nul) {
		config_fault_line(errors, source, count_lines(text, nul) + 1, "a NUL byte");
		return -EINVAL;
	}
	bool good = check_includes(source, text, errors);
	good &= check_numbers(source, text, errors);
	if (!good)
		return -EINVAL;
	if (config_read_string(&source->tree, text))
		return 0;
	int line = config_error_line(&source->tree);
	const char *reason = config_error_text(&source->tree);
	bool twice = reason && strstr(reason, "duplicate");
	struct error *error = config_fault_line(errors, source, line > 0 ? (unsigned)line : 0, "%s",
						reason ? reason : "out of memory");
	if (twice)
		error_remedy(error, "set it once");
	else
		error_remedy(error, "look at this line and the end of the one before it");
	// The half that was parsed says nothing about the whole.
	config_destroy(&source->tree);
	config_init(&source->tree);
	return -EINVAL;
}

// Reads all, but no more than one byte beyond the limit. Returns the size or -errno.
static ssize_t read_all(const char *path, char *text, size_t room)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t used = 0;
	if (fd < 0)
		return -errno;
	while (used < room) {
		ssize_t n = read(fd, text + used, room - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	return (ssize_t)used;
}

int config_source_read(struct config_source *source, struct config_errors *errors)
{
	_cleanup_(freep) char *text = malloc(CONFIG_FILE_MAX + 2);
	if (!text)
		return -ENOMEM;
	ssize_t size = read_all(source->path, text, CONFIG_FILE_MAX + 1);
	if (size < 0) {
		config_fault_line(errors, source, 0, "cannot read the file: %s",
				  strerror((int)-size));
		return -EINVAL;
	}
	text[size] = '\0';
	return config_source_parse(source, text, (size_t)size, errors);
}
