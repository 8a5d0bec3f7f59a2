// SPDX-License-Identifier: Apache-2.0

#include "daemon/config_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "daemon/config.h"
#include "daemon/config_value.h"
#include "daemon/setting.h"

#define SETTING_PATH_MAX 160

// Where members of a group go. The groups of the top are merged over all files (`element` is NULL).
struct scope {
	const char *group; // "", "gateway.", "links[]."
	char *base;
	const config_setting_t *element; // the group, where it is an element of a list
};

const config_setting_t *config_read_find(const struct config_source *source, const char *path)
{
	const config_setting_t *group = config_root_setting(&source->tree);
	const char *dot;
	char name[SETTING_PATH_MAX];
	while ((dot = strchr(path, '.'))) {
		snprintf(name, sizeof(name), "%.*s", (int)(dot - path), path);
		group = config_setting_get_member(group, name);
		if (!group || !config_setting_is_group(group))
			return NULL;
		path = dot + 1;
	}
	return config_setting_get_member(group, path);
}

static const config_setting_t *scope_find(const struct config_reader *reader,
					  const struct scope *scope, const struct setting *setting,
					  unsigned source)
{
	if (scope->element)
		return config_setting_get_member(scope->element,
						 setting->path + strlen(scope->group));
	return config_read_find(reader->sources[source], setting->path);
}

// Elements that stand `at`; 0 where it is no array or list, as the setting would have it.
static unsigned place_length(const struct setting *setting, const config_setting_t *at)
{
	int type = setting->type == SETTING_LIST ? CONFIG_TYPE_LIST : CONFIG_TYPE_ARRAY;
	return at && config_setting_type(at) == type ? (unsigned)config_setting_length(at) : 0;
}

const config_setting_t *config_read_place(const struct config_reader *reader, const char *path,
					  unsigned n)
{
	const struct setting *setting = setting_find(path);
	bool single = setting->type != SETTING_LIST && !setting_is_array(setting);
	for (unsigned i = 0; i < reader->source_count; i++) {
		const config_setting_t *at = config_read_find(reader->sources[i], path);
		unsigned length = place_length(setting, at);
		if (at && single)
			return at;
		if (n < length)
			return config_setting_get_elem((config_setting_t *)at, n);
		n -= length;
	}
	return NULL;
}

// Room for more elements, zeroed. NULL: there are none, or out of memory.
static char *grow(struct config_reader *reader, const struct scope *scope,
		  const struct setting *setting, unsigned more)
{
	unsigned *count = (unsigned *)(void *)(scope->base + setting->count_offset);
	char *array;
	// The type of the pointer is not known here.
	memcpy(&array, scope->base + setting->offset, sizeof(array));
	if (!more)
		return NULL;
	char *grown = reallocarray(array, (size_t)*count + more, setting->size);
	if (!grown) {
		reader->out_of_memory = true;
		return NULL;
	}
	memcpy(scope->base + setting->offset, &grown, sizeof(grown));
	char *first = grown + *count * setting->size;
	memset(first, 0, more * setting->size);
	*count += more;
	return first;
}

static void read_array(struct config_reader *reader, const struct scope *scope,
		       const struct setting *setting, const config_setting_t *at)
{
	unsigned length = place_length(setting, at);
	char *elements = grow(reader, scope, setting, length);
	if (config_setting_type(at) != CONFIG_TYPE_ARRAY)
		config_value_fault(reader, setting, at);
	for (unsigned i = 0; elements && i < length; i++)
		config_value_text(reader, setting,
				  config_setting_get_elem((config_setting_t *)at, i),
				  elements + i * setting->size);
}

static void read_scalar(struct config_reader *reader, const struct scope *scope,
			const struct setting *setting, const config_setting_t *at)
{
	char first_text[CONFIG_PLACE_MAX];
	void *field = scope->base + setting->offset;
	const config_setting_t *first = at;
	if (!scope->element)
		first = config_read_place(reader, setting->path, 0);
	if (first != at)
		error_remedy(config_fault(reader->errors, at, "already set at %s",
					  config_place_text(first, first_text)),
			     "set it in one file");
	else if (setting->type == SETTING_INTEGER)
		config_value_integer(reader, setting, at, field);
	else if (setting->type == SETTING_BOOLEAN)
		config_value_boolean(reader, setting, at, field);
	else
		config_value_text(reader, setting, at, field);
}

static void read_unknown(struct config_reader *reader, const config_setting_t *at, const char *path)
{
	const struct setting *nearest = setting_nearest(path);
	struct error *error = config_fault(reader->errors, at, "unknown setting");
	if (nearest)
		error_remedy(error, "did you mean \"%s\"?", nearest->path);
	else
		error_remedy(error, "mutun.conf(5) names all settings");
}

// `at` is where the setting stands last, NULL: nowhere; `group` is where its group stands, NULL: it is at the top.
static void check_presence(struct config_reader *reader, const struct setting *setting,
			   const config_setting_t *group, const config_setting_t *at,
			   unsigned length)
{
	char allowed[SETTING_ALLOWED_MAX];
	const char *dot = strrchr(setting->path, '.');
	struct error *error;
	bool elsewhere = reader->broken || (reader->only_policy && !group);
	if (!at && (!setting->required || elsewhere))
		return;
	setting_allowed(setting, allowed, sizeof(allowed));
	if (!at) {
		error = group ? config_fault(reader->errors, group, "\"%s\" is missing", dot + 1)
			      : config_fault_line(reader->errors, reader->sources[0], 0,
						  "\"%s\" is missing", setting->path);
		error_expected(error, "%s", allowed);
		return;
	}
	int type = config_setting_type(at);
	bool counted = (setting->type == SETTING_LIST && type == CONFIG_TYPE_LIST) ||
		       (setting_is_array(setting) && type == CONFIG_TYPE_ARRAY);
	if (counted && (length < setting->min || length > setting->max))
		error_expected(config_fault(reader->errors, at, "found %u elements", length), "%s",
			       allowed);
}

// Required settings and numbers of elements, once all that there is of a group was read.
static void check_scope(struct config_reader *reader, const struct scope *scope,
			const config_setting_t *group)
{
	const struct setting *setting;
	for (size_t n = 0; (setting = setting_at(n)); n++) {
		const config_setting_t *last = NULL;
		unsigned length = 0;
		if (!setting_within(setting, scope->group))
			continue;
		for (unsigned i = 0; i < (scope->element ? 1 : reader->source_count); i++) {
			const config_setting_t *at = scope_find(reader, scope, setting, i);
			length += place_length(setting, at);
			last = at ? at : last;
		}
		check_presence(reader, setting, group, last, length);
	}
}

static void read_scope(struct config_reader *reader, const struct scope *scope,
		       const config_setting_t *group, unsigned source);
static void read_defaults(struct config_reader *reader, const struct scope *scope);

void config_read_element(struct config_reader *reader, const char *group,
			 const config_setting_t *element, void *base)
{
	static const struct setting element_setting = {.type = SETTING_GROUP};
	const struct scope scope = {.group = group, .base = base, .element = element};
	if (!config_setting_is_group(element)) {
		config_value_fault(reader, &element_setting, element);
		return;
	}
	read_scope(reader, &scope, element, 0);
	check_scope(reader, &scope, element);
	read_defaults(reader, &scope);
}

static void read_list(struct config_reader *reader, const struct scope *scope,
		      const struct setting *setting, const config_setting_t *at)
{
	char name[SETTING_PATH_MAX];
	unsigned length = place_length(setting, at);
	char *elements = grow(reader, scope, setting, length);
	if (config_setting_type(at) != CONFIG_TYPE_LIST)
		config_value_fault(reader, setting, at);
	snprintf(name, sizeof(name), "%s[].", setting->path);
	for (unsigned i = 0; elements && i < length; i++)
		config_read_element(reader, name,
				    config_setting_get_elem((config_setting_t *)at, i),
				    elements + i * setting->size);
}

// A group within an element of a list is whole where it stands; its field is one of the element's.
static void read_group(struct config_reader *reader, const struct scope *scope,
		       const struct setting *setting, const config_setting_t *at, unsigned source)
{
	char name[SETTING_PATH_MAX];
	struct scope inner = {.group = name};
	inner.base = (scope->element ? scope->base : (char *)reader->config) + setting->offset;
	inner.element = scope->element ? at : NULL;
	snprintf(name, sizeof(name), "%s.", setting->path);
	if (!config_setting_is_group(at)) {
		config_value_fault(reader, setting, at);
		return;
	}
	read_scope(reader, &inner, at, source);
	if (!inner.element)
		return;
	check_scope(reader, &inner, at);
	read_defaults(reader, &inner);
}

// The members are read by config_policy.c, once all files are there.
static void read_named(struct config_reader *reader, const struct setting *setting,
		       const config_setting_t *at)
{
	if (!config_setting_is_group(at))
		config_value_fault(reader, setting, at);
}

// What one file, or one element of a list, has of a group.
static void read_scope(struct config_reader *reader, const struct scope *scope,
		       const config_setting_t *group, unsigned source)
{
	const struct setting *setting;
	char path[SETTING_PATH_MAX];
	for (size_t n = 0; (setting = setting_at(n)); n++) {
		if (!setting_within(setting, scope->group))
			continue;
		const config_setting_t *at = scope_find(reader, scope, setting, source);
		if (!at)
			continue;
		if (setting->type == SETTING_GROUP)
			read_group(reader, scope, setting, at, source);
		else if (setting_is_named(setting))
			read_named(reader, setting, at);
		else if (setting->type == SETTING_LIST)
			read_list(reader, scope, setting, at);
		else if (setting_is_array(setting))
			read_array(reader, scope, setting, at);
		else
			read_scalar(reader, scope, setting, at);
	}
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *at =
			config_setting_get_elem((config_setting_t *)group, (unsigned)i);
		snprintf(path, sizeof(path), "%s%s", scope->group, config_setting_name(at));
		if (!setting_find(path))
			read_unknown(reader, at, path);
	}
}

static void read_default(struct config_reader *reader, const struct setting *setting, char *base)
{
	void *field = base + setting->offset;
	if (setting->type == SETTING_INTEGER)
		*(unsigned *)field = (unsigned)strtoul(setting->fallback, NULL, 0);
	else if (setting->type == SETTING_CRYPTO)
		*(bool *)field = strcmp(setting->fallback, "openssl") == 0;
	else if (setting->type == SETTING_MODE)
		*(bool *)field = strcmp(setting->fallback, "hard") == 0;
	else if (setting->type == SETTING_REFUSAL)
		*(bool *)field = strcmp(setting->fallback, "reject") == 0;
	else if (setting->type == SETTING_BOOLEAN)
		*(bool *)field = strcmp(setting->fallback, "true") == 0;
	else if (setting->type == SETTING_LEVEL)
		log_level_parse(setting->fallback, field);
	else if (!(*(char **)field = strdup(setting->fallback)))
		reader->out_of_memory = true;
}

// Of what stands nowhere.
static void read_defaults(struct config_reader *reader, const struct scope *scope)
{
	const struct setting *setting;
	for (size_t n = 0; (setting = setting_at(n)); n++) {
		if (!setting_within(setting, scope->group) || !setting->fallback)
			continue;
		if (scope->element ? !scope_find(reader, scope, setting, 0)
				   : !config_read_place(reader, setting->path, 0))
			read_default(reader, setting, scope->base);
	}
}

static void finish_group(struct config_reader *reader, const struct setting *group)
{
	char name[SETTING_PATH_MAX];
	struct scope scope = {.group = name, .base = (char *)reader->config + group->offset};
	const config_setting_t *at = config_read_place(reader, group->path, 0);
	snprintf(name, sizeof(name), "%s.", group->path);
	if (at && config_setting_is_group(at))
		check_scope(reader, &scope, at);
	read_defaults(reader, &scope);
}

void config_read_sources(struct config_reader *reader)
{
	const struct scope top = {.group = "", .base = (char *)reader->config};
	const struct setting *setting;
	for (unsigned i = 0; i < reader->source_count; i++)
		read_scope(reader, &top, config_root_setting(&reader->sources[i]->tree), i);
	check_scope(reader, &top, NULL);
	for (size_t n = 0; (setting = setting_at(n)); n++)
		if (setting->type == SETTING_GROUP && !strstr(setting->path, "[]"))
			finish_group(reader, setting);
	reader->config->gateway.enabled = config_read_place(reader, "gateway", 0);
	reader->config->policy.enabled = config_read_place(reader, "policy", 0);
	reader->config->node.http = reader->config->gateway.ca;
	reader->config->node.mark = reader->config->interface.mark;
}
