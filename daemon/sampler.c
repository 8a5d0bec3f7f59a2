// SPDX-License-Identifier: Apache-2.0

#include "daemon/sampler.h"

#include <stdlib.h>
#include <string.h>

#include "base/table.h"

struct kind {
	json_t *what;
	uint64_t written_ms;
	uint64_t count; // since then
	size_t size;
	uint8_t key[];
};

struct sampler {
	struct table *kinds;
	uint64_t others; // that found no place, since they were written
	sampler_write write;
	void *data;
};

static void kind_free(struct sampler *sampler, struct kind *kind)
{
	table_remove(sampler->kinds, kind->key, kind->size);
	json_decref(kind->what);
	free(kind);
}

struct sampler *sampler_new(sampler_write write, void *data)
{
	struct sampler *sampler = calloc(1, sizeof(*sampler));
	if (!sampler)
		return NULL;
	sampler->kinds = table_new();
	sampler->write = write;
	sampler->data = data;
	return sampler->kinds ? sampler : sampler_free(sampler);
}

struct sampler *sampler_free(struct sampler *sampler)
{
	size_t cursor = 0;
	struct kind *kind;
	if (!sampler)
		return NULL;
	while (sampler->kinds && (kind = table_next(sampler->kinds, &cursor)))
		kind_free(sampler, kind);
	table_free(sampler->kinds);
	free(sampler);
	return NULL;
}

static struct kind *add_kind(struct sampler *sampler, const void *key, size_t size, json_t *what)
{
	struct kind *kind = what ? calloc(1, sizeof(*kind) + size) : NULL;
	if (kind) {
		kind->what = what;
		kind->size = size;
		memcpy(kind->key, key, size);
		if (table_add(sampler->kinds, kind->key, size, kind) == 0)
			return kind;
	}
	json_decref(what);
	free(kind);
	return NULL;
}

void sampler_add(struct sampler *sampler, const void *key, size_t size, uint64_t count,
		 uint64_t now_ms, json_t *(*describe)(const void *subject), const void *subject)
{
	struct kind *kind = table_find(sampler->kinds, key, size);
	if (kind) {
		kind->count += count;
		return;
	}
	if (table_count(sampler->kinds) < SAMPLER_KINDS_MAX)
		kind = add_kind(sampler, key, size, describe(subject));
	if (!kind) {
		sampler->others += count;
		return;
	}
	kind->written_ms = now_ms;
	sampler->write(kind->what, count, sampler->data);
}

void sampler_tick(struct sampler *sampler, uint64_t every_ms, uint64_t now_ms)
{
	size_t cursor = 0;
	struct kind *kind;
	while ((kind = table_next(sampler->kinds, &cursor))) {
		if (now_ms - kind->written_ms < every_ms)
			continue;
		if (kind->count == 0) {
			kind_free(sampler, kind);
			continue;
		}
		sampler->write(kind->what, kind->count, sampler->data);
		kind->written_ms = now_ms;
		kind->count = 0;
	}
	if (sampler->others) {
		sampler->write(NULL, sampler->others, sampler->data);
		sampler->others = 0;
	}
}
