// SPDX-License-Identifier: Apache-2.0

#include "daemon/config_named.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "daemon/config.h"
#include "daemon/config_names.h"
#include "daemon/config_read.h"
#include "daemon/config_value.h"
#include "daemon/setting.h"
#include "tun/rule.h"

static const struct section {
	const char *path, *prefix; // of the words
	enum setting_type element;
} sections[] = {
	{"policy.groups", "group:", SETTING_PATTERNS},
	{"policy.networks", "net:", SETTING_PREFIXES},
	{"policy.hosts", "host:", SETTING_ADDRESSES},
	{"policy.services", "service:", SETTING_SERVICES},
};
#define SECTIONS (sizeof(sections) / sizeof(sections[0]))

// All that the files have of one name.
struct entries {
	const struct section *section;
	const config_setting_t **at;
	unsigned count;
};

static const struct section *section_of(const char *word)
{
	for (size_t i = 0; i < SECTIONS; i++)
		if (strncmp(word, sections[i].prefix, strlen(sections[i].prefix)) == 0)
			return &sections[i];
	return NULL;
}

bool config_named_is(const char *word)
{
	return section_of(word);
}

const char *config_named_section(const char *word)
{
	return section_of(word)->path;
}

// Returns false.
static bool no_memory(struct config_reader *reader)
{
	reader->out_of_memory = true;
	return false;
}

char *config_named_issuer(struct arena *arena, const char *text)
{
	char *copy = arena_text(arena, text), *to = copy;
	for (const char *from = text; copy && *from; from++)
		if (*from != ' ' || from == text || from[-1] != ',' ||
		    (from - 1 > text && from[-2] == '\\'))
			*to++ = *from;
	if (copy)
		*to = '\0';
	return copy;
}

// One entry of a group, text or { ... }. False: it is wrong, which is told.
static bool read_peer(struct config_reader *reader, const config_setting_t *at,
		      struct rule_peer *ret)
{
	static const struct setting pattern = {.type = SETTING_PATTERNS};
	struct config_group_peer peer = {0};
	struct arena *arena = reader->config->policy.arena;
	if (config_setting_is_group(at))
		config_read_element(reader, "policy.groups[].", at, &peer);
	else
		config_value_text(reader, &pattern, at, &peer.identity);
	const config_setting_t *hardware =
		config_setting_is_group(at) ? config_setting_get_member(at, "hardware") : NULL;
	bool set = peer.identity || peer.issuer || peer.unit || peer.hardware;
	if (config_setting_is_group(at) && !set && config_setting_length(at) == (hardware ? 1 : 0))
		error_remedy(config_fault(reader->errors, at, "this is every peer, whoever it is"),
			     "set \"identity\", \"issuer\", \"unit\" or \"hardware = true\", "
			     "or use the word \"any\" in the rules");
	*ret = (struct rule_peer){
		.identity = peer.identity ? arena_text(arena, peer.identity) : NULL,
		.issuer = peer.issuer ? config_named_issuer(arena, peer.issuer) : NULL,
		.unit = peer.unit ? arena_text(arena, peer.unit) : NULL,
		.hardware = peer.hardware,
	};
	reader->out_of_memory |= (peer.identity && !ret->identity) ||
				 (peer.issuer && !ret->issuer) || (peer.unit && !ret->unit);
	free(peer.identity);
	free(peer.issuer);
	free(peer.unit);
	return set;
}

unsigned config_named_service(struct config_reader *reader, const config_setting_t *at,
			      struct rule_service ret[POLICY_SERVICE_PARTS])
{
	static const struct setting setting = {.type = SETTING_SERVICES};
	struct error error = {0};
	if (config_setting_type(at) != CONFIG_TYPE_STRING) {
		config_value_fault_element(reader, &setting, at, NULL);
		return 0;
	}
	int count = policy_service_parse(config_setting_get_string(at), ret, &error);
	if (count > 0)
		return (unsigned)count;
	error_expected(config_fault(reader->errors, at, "%s", error.what), "%s", error.expected);
	return 0;
}

// What one file has of a name.
static bool gather_one(struct config_reader *reader, const config_setting_t *at,
		       struct entries *entries)
{
	const struct setting setting = {
		.type = entries->section->element, .min = 1, .max = CONFIG_NAMED_MAX};
	bool list = config_setting_is_list(at) && setting.type == SETTING_PATTERNS;
	bool fits = list || config_setting_is_array(at);
	unsigned length = fits ? (unsigned)config_setting_length(at) : 0;
	if (length == 0 || length > CONFIG_NAMED_MAX) {
		config_value_fault(reader, &setting, at);
		return true;
	}
	const config_setting_t **grown =
		reallocarray(entries->at, entries->count + length, sizeof(config_setting_t *));
	if (!grown)
		return no_memory(reader);
	entries->at = grown;
	for (unsigned i = 0; i < length; i++)
		grown[entries->count++] = config_setting_get_elem((config_setting_t *)at, i);
	return true;
}

// From the file that is the first to have the name on.
static bool gather(struct config_reader *reader, unsigned source, const char *name,
		   struct entries *entries)
{
	bool good = true;
	for (unsigned i = source; good && i < reader->source_count; i++) {
		const config_setting_t *group =
			config_read_find(reader->sources[i], entries->section->path);
		const config_setting_t *at = group && config_setting_is_group(group)
						     ? config_setting_get_member(group, name)
						     : NULL;
		if (at)
			good = gather_one(reader, at, entries);
	}
	return good;
}

static bool make_group(struct config_reader *reader, struct config_names *names, const char *word,
		       const struct entries *entries, const config_setting_t *at)
{
	unsigned count = 0;
	struct rule_peer *peers =
		arena_alloc(reader->config->policy.arena, entries->count + 1, sizeof(*peers));
	if (!peers)
		return no_memory(reader);
	for (unsigned i = 0; i < entries->count; i++)
		count += read_peer(reader, entries->at[i], &peers[count]);
	return config_names_add_group(names, word, peers, count, at);
}

static bool make_net(struct config_reader *reader, struct config_names *names, const char *word,
		     const struct entries *entries, const config_setting_t *at)
{
	const struct setting setting = {.type = entries->section->element};
	unsigned count = 0;
	struct prefix *prefixes =
		arena_alloc(reader->config->policy.arena, entries->count + 1, sizeof(*prefixes));
	if (!prefixes)
		return no_memory(reader);
	for (unsigned i = 0; i < entries->count; i++) {
		struct prefix prefix = {0};
		config_value_text(reader, &setting, entries->at[i], &prefix);
		if (prefix.addr.family != AF_UNSPEC)
			prefixes[count++] = prefix;
	}
	return config_names_add_net(names, word, prefixes, count, at);
}

static bool make_services(struct config_reader *reader, struct config_names *names,
			  const char *word, const struct entries *entries,
			  const config_setting_t *at)
{
	unsigned count = 0;
	struct rule_service *services =
		arena_alloc(reader->config->policy.arena,
			    (size_t)entries->count * POLICY_SERVICE_PARTS + 1, sizeof(*services));
	if (!services)
		return no_memory(reader);
	for (unsigned i = 0; i < entries->count; i++)
		count += config_named_service(reader, entries->at[i], &services[count]);
	return config_names_add_services(names, word, services, count, at);
}

static bool read_name(struct config_reader *reader, struct config_names *names,
		      const struct section *section, unsigned source, const config_setting_t *at)
{
	_cleanup_(freep) char *word = NULL;
	struct entries entries = {.section = section};
	bool good;
	if (asprintf(&word, "%s%s", section->prefix, config_setting_name(at)) < 0) {
		word = NULL;
		return no_memory(reader);
	}
	if (config_names_has(names, word)) // with an earlier file
		return true;
	if (!gather(reader, source, config_setting_name(at), &entries))
		good = false;
	else if (section->element == SETTING_PATTERNS)
		good = make_group(reader, names, word, &entries, at);
	else if (section->element == SETTING_SERVICES)
		good = make_services(reader, names, word, &entries, at);
	else
		good = make_net(reader, names, word, &entries, at);
	free(entries.at);
	return good;
}

bool config_named_read(struct config_reader *reader, struct config_names *names)
{
	bool good = true;
	for (unsigned i = 0; i < SECTIONS * reader->source_count; i++) {
		const struct section *section = &sections[i / reader->source_count];
		unsigned source = i % reader->source_count;
		const config_setting_t *group =
			config_read_find(reader->sources[source], section->path);
		bool there = group && config_setting_is_group(group);
		unsigned length = there ? (unsigned)config_setting_length(group) : 0;
		for (unsigned j = 0; good && j < length; j++)
			good = read_name(reader, names, section, source,
					 config_setting_get_elem((config_setting_t *)group, j));
	}
	return good;
}
