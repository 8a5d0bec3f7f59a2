// SPDX-License-Identifier: Apache-2.0

#include "daemon/lists.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "daemon/config.h"
#include "daemon/credentials.h"
#include "daemon/list_source.h"
#include "pki/credential.h"
#include "pki/crl_list.h"
#include "pki/identity.h"
#include "pki/revocation.h"
#include "pki/trust.h"

struct sources {
	struct list_source **sources;
	size_t count;
};

struct lists {
	struct lists_tools tools;
	char *directory, *domain;
	uint32_t mark;
	struct sources all;
	struct sources next; // of lists_prepare()
	uint8_t trust[32];   // fingerprint of what the lists were judged by
};

static void sources_done(struct sources *sources)
{
	for (size_t i = 0; i < sources->count; i++)
		list_source_free(sources->sources[i]);
	free(sources->sources);
	*sources = (struct sources){0};
}

static void on_list(void *data)
{
	struct lists *lists = data;

	lists->tools.changed(lists->tools.data);
}

static struct list_source_tools source_tools(struct lists *lists)
{
	return (struct list_source_tools){
		.event = lists->tools.event,
		.mark = lists->mark,
		.directory = lists->directory,
		.domain = lists->domain,
		.changed = on_list,
		.data = lists,
	};
}

static int add_source(struct lists *lists, const struct config_list *config,
		      struct list_source **ret, struct error *error)
{
	struct list_source_tools tools = source_tools(lists);

	return list_source_new(&tools, config, credentials_trust(lists->tools.credentials), ret,
			       error);
}

// Where lists are kept, and what the own trust domain is.
static int set_up(struct lists *lists, const struct config *config, struct error *error)
{
	const char *domain;
	const char *identity =
		credential_identity(credentials_credential(lists->tools.credentials));
	size_t length = identity_domain(identity, &domain);

	lists->mark = config->interface.mark;
	lists->domain = strndup(domain, length);
	if (asprintf(&lists->directory, "%s/lists", config->node.state) < 0)
		lists->directory = NULL;
	if (!lists->directory || !lists->domain)
		return error_set(error, ENOMEM, "out of memory");
	if (mkdir(lists->directory, 0700) < 0 && errno != EEXIST)
		return error_set(error, errno, "cannot make the directory %s: %m",
				 lists->directory);
	return 0;
}

static void note_trust(struct lists *lists)
{
	memcpy(lists->trust, trust_fingerprint(credentials_trust(lists->tools.credentials)),
	       sizeof(lists->trust));
}

int lists_new(const struct lists_tools *tools, const struct config *config, struct lists **ret,
	      struct error *error)
{
	_cleanup_(lists_freep) struct lists *lists = calloc(1, sizeof(*lists));

	if (!lists)
		return error_set(error, ENOMEM, "out of memory");
	lists->tools = *tools;
	int r = set_up(lists, config, error);
	if (r < 0)
		return r;
	lists->all.sources =
		calloc(config->revocation.list_count + 1, sizeof(struct list_source *));
	if (!lists->all.sources)
		return error_set(error, ENOMEM, "out of memory");
	for (unsigned i = 0; r == 0 && i < config->revocation.list_count; i++) {
		struct list_source **source = &lists->all.sources[i];
		r = add_source(lists, &config->revocation.lists[i], source, error);
		if (r < 0)
			return r;
		lists->all.count++;
		list_source_load(*source);
	}
	note_trust(lists);
	*ret = take(lists);
	return 0;
}

struct lists *lists_free(struct lists *lists)
{
	if (!lists)
		return NULL;
	sources_done(&lists->all);
	sources_done(&lists->next);
	free(lists->directory);
	free(lists->domain);
	free(lists);
	return NULL;
}

// Of the sources in use the one for this list, taken out of them. NULL: none.
static struct list_source *take_source(struct sources *sources, const struct config_list *config)
{
	for (size_t i = 0; i < sources->count; i++)
		if (sources->sources[i] && list_source_is(sources->sources[i], config))
			return take(sources->sources[i]);
	return NULL;
}

static void swap(struct sources *a, struct sources *b)
{
	struct sources old = *a;

	*a = *b;
	*b = old;
}

static bool is_known(const struct sources *sources, const struct config_list *config)
{
	bool known = false;

	for (size_t i = 0; !known && i < sources->count; i++)
		known = list_source_is(sources->sources[i], config);
	return known;
}

int lists_prepare(struct lists *lists, const struct config *config, struct error *error)
{
	const struct config_revocation *new = &config->revocation;
	_cleanup_(sources_done) struct sources sources = {0};

	sources.sources = calloc(new->list_count + 1, sizeof(struct list_source *));
	if (!sources.sources)
		return error_set(error, ENOMEM, "out of memory");
	for (unsigned i = 0; i < new->list_count; i++) {
		struct list_source **source = &sources.sources[sources.count];
		if (is_known(&lists->all, &new->lists[i]))
			continue;
		int r = add_source(lists, &new->lists[i], source, error);
		if (r < 0)
			return r;
		sources.count++;
	}
	swap(&lists->next, &sources);
	return 0;
}

// A list of which only the issuer is another one than before is not gone for a moment.
static void inherit(struct list_source *source, const struct sources *old)
{
	for (size_t i = 0; i < old->count; i++)
		if (old->sources[i])
			list_source_inherit(source, old->sources[i]);
}

void lists_adopt(struct lists *lists, const struct config *config)
{
	const struct config_revocation *new = &config->revocation;
	struct trust *trust = credentials_trust(lists->tools.credentials);
	struct sources *next = &lists->next;

	// There may be another one by now. A list that was never read is looked at with that.
	for (size_t i = 0; i < next->count; i++) {
		list_source_set_trust(next->sources[i], trust);
		inherit(next->sources[i], &lists->all);
	}
	for (unsigned i = 0; i < new->list_count; i++) {
		struct list_source *kept = take_source(&lists->all, &new->lists[i]);
		if (!kept)
			continue;
		list_source_set(kept, &new->lists[i]);
		next->sources[next->count++] = kept;
	}
	swap(&lists->all, next);
	sources_done(next);
	on_list(lists);
}

void lists_trust_changed(struct lists *lists)
{
	struct trust *trust = credentials_trust(lists->tools.credentials);
	bool changed = false;

	if (memcmp(lists->trust, trust_fingerprint(trust), sizeof(lists->trust)) == 0)
		return;
	note_trust(lists);
	for (size_t i = 0; i < lists->all.count; i++)
		changed |= list_source_set_trust(lists->all.sources[i], trust);
	if (changed)
		on_list(lists);
}

int lists_add_to(const struct lists *lists, struct revocation *revocation)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < lists->all.count; i++) {
		struct crl_list list;
		if (list_source_list(lists->all.sources[i], &list))
			r = revocation_add_list(revocation, &list);
	}
	return r;
}

bool lists_at(const struct lists *lists, size_t position, struct list_source_status *ret)
{
	if (position >= lists->all.count)
		return false;
	list_source_status(lists->all.sources[position], ret);
	return true;
}
