// SPDX-License-Identifier: Apache-2.0

#include "daemon/config_report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"

#define PATH_DEPTH_MAX 8
#define PATH_TEXT_MAX  128
#define STRING_SHOWN   80

struct entry {
	unsigned order, line;
	size_t position; // keeps the sort stable
	struct error error;
};

struct config_errors {
	struct entry *entries;
	size_t count, room;
	unsigned lost;
	struct error spill; // takes what is too much
};

struct config_errors *config_errors_new(void)
{
	return calloc(1, sizeof(struct config_errors));
}

struct config_errors *config_errors_free(struct config_errors *errors)
{
	if (errors)
		free(errors->entries);
	free(errors);
	return NULL;
}

size_t config_errors_count(const struct config_errors *errors)
{
	return errors->count;
}

const struct error *config_errors_at(const struct config_errors *errors, size_t position)
{
	return position < errors->count ? &errors->entries[position].error : NULL;
}

// False: no memory.
static bool errors_grow(struct config_errors *errors)
{
	if (errors->count < errors->room)
		return true;
	size_t room = errors->room ? errors->room * 2 : 8;
	struct entry *entries = reallocarray(errors->entries, room, sizeof(*entries));
	if (!entries)
		return false;
	errors->entries = entries;
	errors->room = room;
	return true;
}

// Room for one more error at a place, until the next call; the caller fills it. Never NULL.
static struct error *errors_add(struct config_errors *errors, const struct config_source *source,
				unsigned line)
{
	if (errors->count >= CONFIG_ERRORS_MAX || !errors_grow(errors)) {
		errors->lost++;
		return &errors->spill;
	}
	struct entry *entry = &errors->entries[errors->count];
	memset(entry, 0, sizeof(*entry));
	entry->order = source->order;
	entry->line = line;
	entry->position = errors->count++;
	return &entry->error;
}

static int compare_entries(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;
	if (a->order != b->order)
		return a->order < b->order ? -1 : 1;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return a->position < b->position ? -1 : a->position > b->position;
}

void config_errors_finish(struct config_errors *errors)
{
	if (errors->count)
		qsort(errors->entries, errors->count, sizeof(*errors->entries), compare_entries);
	if (!errors->lost)
		return;
	// Beyond CONFIG_ERRORS_MAX by one; without memory in the place of the last.
	if (errors_grow(errors))
		errors->count++;
	if (errors->count)
		error_set(&errors->entries[errors->count - 1].error, EINVAL, "%u more errors",
			  errors->lost);
}

const struct config_source *config_source_of(const config_setting_t *at)
{
	return container_of(at->config, struct config_source, tree);
}

// The end of a long path tells more than its beginning.
static const char *place_write(const char *path, unsigned line, char text[CONFIG_PLACE_MAX])
{
	size_t most = CONFIG_PLACE_MAX - 16, length = strlen(path);
	const char *cut = length > most ? "..." : "";
	const char *shown = length > most ? path + length - most + 3 : path;
	if (line)
		snprintf(text, CONFIG_PLACE_MAX, "%s%s:%u", cut, shown, line);
	else
		snprintf(text, CONFIG_PLACE_MAX, "%s%s", cut, shown);
	return text;
}

const char *config_place_text(const config_setting_t *at, char text[CONFIG_PLACE_MAX])
{
	return place_write(config_source_of(at)->path, config_setting_source_line(at), text);
}

// Writes the path of a setting, from the root; empty for the root itself.
static void path_write(const config_setting_t *at, char text[PATH_TEXT_MAX])
{
	const config_setting_t *chain[PATH_DEPTH_MAX];
	unsigned depth = 0;
	size_t used = 0;
	for (; at && !config_setting_is_root(at) && depth < PATH_DEPTH_MAX; at = at->parent)
		chain[depth++] = at;
	text[0] = '\0';
	while (depth-- && used < PATH_TEXT_MAX) {
		const char *name = config_setting_name(chain[depth]);
		size_t room = PATH_TEXT_MAX - used;
		int n;
		if (name)
			n = snprintf(text + used, room, "%s%s", used ? "." : "", name);
		else
			n = snprintf(text + used, room, "[%d]", config_setting_index(chain[depth]));
		used += n > 0 ? (size_t)n : 0;
	}
}

struct error *config_fault(struct config_errors *errors, const config_setting_t *at,
			   const char *format, ...)
{
	char what[sizeof(((struct error *)NULL)->what)], place[CONFIG_PLACE_MAX];
	char path[PATH_TEXT_MAX];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	struct error *error =
		errors_add(errors, config_source_of(at), config_setting_source_line(at));
	path_write(at, path);
	error_set(error, EINVAL, "%s", what);
	error_where(error, "%s%s%s", config_place_text(at, place), *path ? ": " : "", path);
	return error;
}

struct error *config_fault_line(struct config_errors *errors, const struct config_source *source,
				unsigned line, const char *format, ...)
{
	char what[sizeof(((struct error *)NULL)->what)], place[CONFIG_PLACE_MAX];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	struct error *error = errors_add(errors, source, line);
	error_set(error, EINVAL, "%s", what);
	error_where(error, "%s", place_write(source->path, line, place));
	return error;
}

const char *config_found_text(const config_setting_t *at, char *text, size_t size)
{
	int type = config_setting_type(at);
	if (type == CONFIG_TYPE_STRING)
		snprintf(text, size, "the string \"%.*s\"%s", STRING_SHOWN,
			 config_setting_get_string(at),
			 strlen(config_setting_get_string(at)) > STRING_SHOWN ? "..." : "");
	else if (type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64)
		snprintf(text, size, "the integer %lld", config_setting_get_int64(at));
	else if (type == CONFIG_TYPE_FLOAT)
		snprintf(text, size, "the number %g", config_setting_get_float(at));
	else if (type == CONFIG_TYPE_BOOL)
		snprintf(text, size, "%s", config_setting_get_bool(at) ? "true" : "false");
	else if (type == CONFIG_TYPE_GROUP)
		snprintf(text, size, "a group { ... }");
	else if (type == CONFIG_TYPE_ARRAY)
		snprintf(text, size, "an array [ ... ]");
	else
		snprintf(text, size, "a list ( ... )");
	return text;
}

void config_fault_twice(struct config_errors *errors, const config_setting_t *at, const char *what,
			const config_setting_t *first, const char *expected)
{
	char place[CONFIG_PLACE_MAX];
	error_expected(config_fault(errors, at, "\"%s\" stands at %s already", what,
				    config_place_text(first, place)),
		       "%s", expected);
}
