// SPDX-License-Identifier: Apache-2.0
// Loading goes in three steps, each over all files: libconfig's trees (config_source.c), fields (config_read.c), what does not
// go together (config_check.c). No step stops at an error, so that one look at the list of them is enough.

#include "daemon/config.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "daemon/config_check.h"
#include "daemon/config_policy.h"
#include "daemon/config_read.h"
#include "daemon/config_report.h"
#include "daemon/config_source.h"
#include "daemon/config_space.h"
#include "daemon/setting.h"

#define SUFFIX	       ".conf"
#define SUFFIX_LENGTH  (sizeof(SUFFIX) - 1)
#define VALUE_TEXT_MAX 96

static void link_done(struct config_link *link)
{
	for (unsigned i = 0; i < link->to_count; i++)
		free(link->to[i].host);
	free(link->to);
	free(link->name);
	free(link->identity);
	free(link->accept_routes);
}

static void peer_done(struct config_peer *peer)
{
	free(peer->identity);
	free(peer->addresses);
	free(peer->networks);
	free(peer->translations);
}

static void texts_done(char **texts, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		free(texts[i]);
	free(texts);
}

static void dns_done(struct config_dns *dns)
{
	free(dns->servers);
	texts_done(dns->domains, dns->domain_count);
}

static void profile_done(struct config_profile *profile)
{
	texts_done(profile->matches, profile->match_count);
	free(profile->pools);
	free(profile->routes);
	dns_done(&profile->dns);
}

static void names_done(struct config_name *names, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		free(names[i].dns);
		free(names[i].email);
		free(names[i].identity);
	}
	free(names);
}

static void node_done(struct config_node *node)
{
	for (unsigned i = 0; i < node->federation_count; i++) {
		free(node->federation[i].domain);
		free(node->federation[i].trust);
		names_done(node->federation[i].names, node->federation[i].name_count);
	}
	for (unsigned i = 0; i < node->pin_count; i++) {
		free(node->pins[i].identity);
		free(node->pins[i].keys);
	}
	free(node->federation);
	names_done(node->names, node->name_count);
	free(node->pins);
	free(node->staple);
	free(node->responder);
	free(node->certificate);
	free(node->key);
	free(node->trust);
	free(node->state);
}

static void gateway_done(struct config_gateway *gateway)
{
	texts_done(gateway->admit, gateway->admit_count);
	for (unsigned i = 0; i < gateway->peer_count; i++)
		peer_done(&gateway->peers[i]);
	for (unsigned i = 0; i < gateway->profile_count; i++)
		profile_done(&gateway->profiles[i]);
	free(gateway->profiles);
	dns_done(&gateway->dns);
	free(gateway->peers);
	free(gateway->listen);
	free(gateway->pools);
	free(gateway->routes);
	free(gateway->ca);
	free(gateway->ca_passphrase);
}

static void revocation_done(struct config_revocation *revocation)
{
	for (unsigned i = 0; i < revocation->list_count; i++) {
		free(revocation->lists[i].file);
		free(revocation->lists[i].url);
		free(revocation->lists[i].domain);
		free(revocation->lists[i].issuer);
	}
	free(revocation->lists);
}

struct config *config_get(struct config *config)
{
	config->references++;
	return config;
}

struct config *config_put(struct config *config)
{
	if (!config || config->references-- > 0)
		return NULL;
	for (unsigned i = 0; i < config->link_count; i++)
		link_done(&config->links[i]);
	free(config->links);
	node_done(&config->node);
	gateway_done(&config->gateway);
	revocation_done(&config->revocation);
	free(config->renewal.url);
	free(config->renewal.identity);
	free(config->renewal.trust);
	free(config->revocation.denials);
	free(config->interface.name);
	free(config->audit.file);
	free(config->control_socket);
	config_policy_done(&config->policy);
	config_errors_free(config->warnings);
	free(config);
	return NULL;
}

static void reader_done(struct config_reader *reader)
{
	config_put(reader->config);
	config_errors_free(reader->errors);
	config_errors_free(reader->warnings);
	for (unsigned i = 0; i < reader->source_count; i++)
		config_source_free(reader->sources[i]);
	free(reader->sources);
}

static bool reader_init(struct config_reader *reader)
{
	reader->config = calloc(1, sizeof(*reader->config));
	reader->errors = config_errors_new();
	reader->warnings = config_errors_new();
	return reader->config && reader->errors && reader->warnings;
}

// NULL: out of memory.
static struct config_source *add_source(struct config_reader *reader, const char *path)
{
	struct config_source **sources = reallocarray(reader->sources, reader->source_count + 1,
						      sizeof(struct config_source *));
	if (!sources)
		return NULL;
	reader->sources = sources;
	struct config_source *source = config_source_new(path, reader->source_count);
	if (source)
		sources[reader->source_count++] = source;
	return source;
}

static int compare_peers(const void *left, const void *right)
{
	const struct config_peer *a = left, *b = right;
	return strcmp(a->identity, b->identity);
}

static int compare_networks(const void *left, const void *right)
{
	return prefix_compare(left, right);
}

// One entry for an identity that stands in `sites` and in `clients`. Only for what passed all checks: each identity stands at
// most once in each, so one of the two has the addresses and the other one the networks.
static void merge_peers(struct config_gateway *gateway)
{
	unsigned kept = 0;
	if (gateway->peer_count)
		qsort(gateway->peers, gateway->peer_count, sizeof(*gateway->peers), compare_peers);
	for (unsigned i = 0; i < gateway->peer_count; i++) {
		struct config_peer *peer = &gateway->peers[i];
		struct config_peer *last = kept ? &gateway->peers[kept - 1] : NULL;
		if (peer->network_count)
			qsort(peer->networks, peer->network_count, sizeof(*peer->networks),
			      compare_networks);
		if (!last || strcmp(last->identity, peer->identity) != 0) {
			gateway->peers[kept++] = *peer;
			continue;
		}
		if (peer->addresses) {
			last->addresses = peer->addresses;
			last->address_count = peer->address_count;
		} else {
			last->networks = peer->networks;
			last->network_count = peer->network_count;
			last->metric = peer->metric;
			last->translations = peer->translations;
			last->translation_count = peer->translation_count;
		}
		free(peer->identity);
	}
	gateway->peer_count = kept;
}

static int reader_finish(struct config_reader *reader, struct config **ret,
			 struct config_errors **ret_errors)
{
	config_read_sources(reader);
	if (!reader->out_of_memory)
		config_check(reader);
	if (!reader->out_of_memory)
		config_policy_build(reader);
	if (!reader->out_of_memory)
		config_space_check_groups(reader);
	if (reader->out_of_memory) {
		*ret_errors = NULL;
		return -ENOMEM;
	}
	config_errors_finish(reader->errors);
	if (config_errors_count(reader->errors)) {
		*ret_errors = take(reader->errors);
		return -EINVAL;
	}
	merge_peers(&reader->config->gateway);
	config_errors_finish(reader->warnings);
	reader->config->warnings = take(reader->warnings);
	*ret = take(reader->config);
	*ret_errors = NULL;
	return 0;
}

static int compare_names(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

struct names {
	char **names;
	size_t count;
};

static void list_done(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->names[i]);
	free(names->names);
}

// Files NAME.conf of a directory, sorted. -errno.
static int names_read(struct names *names, DIR *dir)
{
	for (;;) {
		errno = 0;
		const struct dirent *entry = readdir(dir);
		if (!entry)
			break;
		size_t length = strlen(entry->d_name);
		if (entry->d_name[0] == '.' || length <= SUFFIX_LENGTH ||
		    strcmp(entry->d_name + length - SUFFIX_LENGTH, SUFFIX) != 0)
			continue;
		char **grown = reallocarray(names->names, names->count + 1, sizeof(char *));
		if (!grown)
			return -ENOMEM;
		names->names = grown;
		grown[names->count] = strdup(entry->d_name);
		if (!grown[names->count])
			return -ENOMEM;
		names->count++;
	}
	if (errno)
		return -errno;
	if (names->count)
		qsort(names->names, names->count, sizeof(char *), compare_names);
	return 0;
}

// Adds a source for each further file. What cannot be listed is an error of the main file.
static int add_directory(struct config_reader *reader, const char *path)
{
	_cleanup_(list_done) struct names names = {0};
	_cleanup_(freep) char *directory = NULL;
	size_t length = strlen(path);
	if (length > SUFFIX_LENGTH && strcmp(path + length - SUFFIX_LENGTH, SUFFIX) == 0)
		length -= SUFFIX_LENGTH;
	if (asprintf(&directory, "%.*s.d", (int)length, path) < 0) {
		directory = NULL;
		return -ENOMEM;
	}
	DIR *dir = opendir(directory);
	int r = dir ? names_read(&names, dir) : -errno;
	if (dir)
		closedir(dir);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0 && r != -ENOMEM) {
		config_fault_line(reader->errors, reader->sources[0], 0, "cannot read %s: %s",
				  directory, strerror(-r));
		reader->broken = true;
		return 0;
	}
	for (size_t i = 0; r == 0 && i < names.count; i++) {
		_cleanup_(freep) char *file = NULL;
		if (asprintf(&file, "%s/%s", directory, names.names[i]) < 0)
			file = NULL;
		if (!file || !add_source(reader, file))
			r = -ENOMEM;
	}
	return r;
}

// Whether one of the files has a policy, and none anything else.
static bool has_only_policy(const struct config_reader *reader)
{
	bool found = false;
	for (unsigned i = 0; i < reader->source_count; i++) {
		const config_setting_t *root = config_root_setting(&reader->sources[i]->tree);
		int count = config_setting_length(root);
		bool policy = config_setting_get_member(root, "policy");
		if (count > 1 || (count == 1 && !policy))
			return false;
		found |= policy;
	}
	return found;
}

static int load(const char *path, bool policy_alone, struct config **ret,
		struct config_errors **ret_errors)
{
	_cleanup_(reader_done) struct config_reader reader = {0};
	*ret_errors = NULL;
	if (!reader_init(&reader) || !add_source(&reader, path) || add_directory(&reader, path) < 0)
		return -ENOMEM;
	for (unsigned i = 0; i < reader.source_count; i++) {
		int r = config_source_read(reader.sources[i], reader.errors);
		if (r == -ENOMEM)
			return r;
		reader.broken |= r < 0;
	}
	reader.only_policy = policy_alone && has_only_policy(&reader);
	return reader_finish(&reader, ret, ret_errors);
}

int config_load(const char *path, struct config **ret, struct config_errors **ret_errors)
{
	return load(path, false, ret, ret_errors);
}

int config_load_policy(const char *path, struct config **ret, struct config_errors **ret_errors)
{
	return load(path, true, ret, ret_errors);
}

int config_parse(const char *text, const char *path, struct config **ret,
		 struct config_errors **ret_errors)
{
	_cleanup_(reader_done) struct config_reader reader = {0};
	*ret_errors = NULL;
	if (!reader_init(&reader) || !add_source(&reader, path))
		return -ENOMEM;
	reader.broken =
		config_source_parse(reader.sources[0], text, strlen(text), reader.errors) < 0;
	return reader_finish(&reader, ret, ret_errors);
}

// A value that cannot be reloaded, as text. All of these are single ones in groups of the top.
static const char *value_text(const struct config *config, const struct setting *setting,
			      char text[VALUE_TEXT_MAX])
{
	char group[64];
	const char *dot = strchr(setting->path, '.');
	snprintf(group, sizeof(group), "%.*s", (int)(dot - setting->path), setting->path);
	const char *field = (const char *)config + setting_find(group)->offset + setting->offset;
	if (setting->type == SETTING_CRYPTO)
		return *(const bool *)(const void *)field ? "openssl" : "auto";
	if (setting->type == SETTING_BOOLEAN)
		return *(const bool *)(const void *)field ? "true" : "false";
	if (setting->type != SETTING_INTEGER) {
		const char *value = *(char *const *)(const void *)field;
		return value ? value : "";
	}
	snprintf(text, VALUE_TEXT_MAX, "%u", *(const unsigned *)(const void *)field);
	return text;
}

bool config_same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : !a && !b;
}

int config_reloadable(const struct config *old, const struct config *new, struct error *error)
{
	const struct setting *setting;
	for (size_t i = 0; (setting = setting_at(i)); i++) {
		char old_text[VALUE_TEXT_MAX], new_text[VALUE_TEXT_MAX];
		if (setting->reloadable || setting->type == SETTING_GROUP)
			continue;
		const char *before = value_text(old, setting, old_text);
		const char *after = value_text(new, setting, new_text);
		if (strcmp(before, after) == 0)
			continue;
		error_set(error, EBUSY, "cannot change from %.80s to %.80s while the daemon runs",
			  before, after);
		error_where(error, "%s", setting->path);
		error_remedy(error, "restart the daemon, or set the old value again");
		return -EBUSY;
	}
	return 0;
}
