// SPDX-License-Identifier: Apache-2.0

#include "pki/denial_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pki/denials.h"

struct denial_store {
	void (*changed)(const char *domain, void *data);
	void *data;
	struct denial_entry *entries[DENIAL_STORE_MAX];
	size_t count;
};

struct denial_store *denial_store_new(void (*changed)(const char *domain, void *data), void *data)
{
	struct denial_store *store = calloc(1, sizeof(*store));
	if (store) {
		store->changed = changed;
		store->data = data;
	}
	return store;
}

struct denial_store *denial_store_free(struct denial_store *store)
{
	if (!store)
		return NULL;
	for (size_t i = 0; i < store->count; i++) {
		denials_put(store->entries[i]->denials);
		free(store->entries[i]);
	}
	free(store);
	return NULL;
}

static struct denial_entry *find(const struct denial_store *store, const char *domain)
{
	for (size_t i = 0; i < store->count; i++)
		if (strcmp(denials_domain(store->entries[i]->denials), domain) == 0)
			return store->entries[i];
	return NULL;
}

struct denials *denial_store_find(const struct denial_store *store, const char *domain)
{
	const struct denial_entry *entry = find(store, domain);
	return entry ? entry->denials : NULL;
}

const struct denial_entry *denial_store_at(const struct denial_store *store, size_t position)
{
	return position < store->count ? store->entries[position] : NULL;
}

int denial_store_put(struct denial_store *store, struct denials *denials, const char *source)
{
	struct denial_entry *entry = find(store, denials_domain(denials));
	if (!entry) {
		if (store->count == DENIAL_STORE_MAX)
			return -ENOSPC;
		entry = calloc(1, sizeof(*entry));
		if (!entry)
			return -ENOMEM;
		store->entries[store->count++] = entry;
	}
	struct denials *old = entry->denials;
	entry->denials = denials_get(denials);
	denials_put(old);
	entry->problem.code = 0;
	snprintf(entry->source, sizeof(entry->source), "%s", source);
	if (store->changed)
		store->changed(denials_domain(denials), store->data);
	return 0;
}

void denial_store_fault(struct denial_store *store, const char *domain, const struct error *error)
{
	struct denial_entry *entry = find(store, domain);
	if (entry)
		entry->problem = *error;
}
