// SPDX-License-Identifier: Apache-2.0
// Theory of operation: somebody may have no more kinds than a share of the places that are free (as queues in a switch: Choudhury and
// Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998). One who invents them ends with 127, and hundreds who
// do leave places to others still. Whoever finds none is counted by name.

#include "daemon/sampler.h"

#include <stdlib.h>
#include <string.h>

#include "base/table.h"

struct doer {
	json_t *who;
	unsigned kinds;
	uint64_t others;     // that found no place, since they were written
	uint64_t written_ms; // or seen first
	size_t size;
	uint8_t key[];
};

struct kind {
	json_t *what;
	struct doer *doer;
	uint64_t written_ms;
	uint64_t count; // since then
	size_t size;
	uint8_t key[];
};

struct sampler {
	struct table *kinds;
	struct table *doers;
	sampler_write write;
	void *data;
};

static void kind_free(struct sampler *sampler, struct kind *kind)
{
	table_remove(sampler->kinds, kind->key, kind->size);
	kind->doer->kinds--;
	json_decref(kind->what);
	free(kind);
}

static void doer_free(struct sampler *sampler, struct doer *doer)
{
	table_remove(sampler->doers, doer->key, doer->size);
	json_decref(doer->who);
	free(doer);
}

struct sampler *sampler_new(sampler_write write, void *data)
{
	struct sampler *sampler = calloc(1, sizeof(*sampler));
	if (!sampler)
		return NULL;
	sampler->kinds = table_new();
	sampler->doers = table_new();
	sampler->write = write;
	sampler->data = data;
	return sampler->kinds && sampler->doers ? sampler : sampler_free(sampler);
}

struct sampler *sampler_free(struct sampler *sampler)
{
	size_t cursor = 0;
	struct kind *kind;
	struct doer *doer;
	if (!sampler)
		return NULL;
	while (sampler->kinds && (kind = table_next(sampler->kinds, &cursor)))
		kind_free(sampler, kind);
	cursor = 0;
	while (sampler->doers && (doer = table_next(sampler->doers, &cursor)))
		doer_free(sampler, doer);
	table_free(sampler->kinds);
	table_free(sampler->doers);
	free(sampler);
	return NULL;
}

// NULL: out of memory.
static struct doer *doer_get(struct sampler *sampler, const struct sampler_event *event,
			     uint64_t now_ms)
{
	struct doer *doer = table_find(sampler->doers, event->doer_key, event->doer_size);
	if (doer)
		return doer;
	doer = calloc(1, sizeof(*doer) + event->doer_size);
	if (!doer)
		return NULL;
	doer->written_ms = now_ms;
	doer->size = event->doer_size;
	memcpy(doer->key, event->doer_key, doer->size);
	doer->who = event->describe_doer(event->subject);
	if (doer->who && table_add(sampler->doers, doer->key, doer->size, doer) == 0)
		return doer;
	json_decref(doer->who);
	free(doer);
	return NULL;
}

static bool has_room(const struct sampler *sampler, const struct doer *doer)
{
	size_t room = SAMPLER_KINDS_MAX - table_count(sampler->kinds);
	return room > (size_t)doer->kinds * SAMPLER_SHARE;
}

static struct kind *add_kind(struct sampler *sampler, struct doer *doer,
			     const struct sampler_event *event)
{
	struct kind *kind = calloc(1, sizeof(*kind) + event->size);
	if (!kind)
		return NULL;
	kind->doer = doer;
	kind->size = event->size;
	memcpy(kind->key, event->key, kind->size);
	kind->what = event->describe(event->subject);
	if (kind->what && table_add(sampler->kinds, kind->key, kind->size, kind) == 0) {
		doer->kinds++;
		return kind;
	}
	json_decref(kind->what);
	free(kind);
	return NULL;
}

void sampler_add(struct sampler *sampler, const struct sampler_event *event, uint64_t count,
		 uint64_t now_ms)
{
	struct kind *kind = table_find(sampler->kinds, event->key, event->size);
	if (kind) {
		kind->count += count;
		return;
	}
	struct doer *doer = doer_get(sampler, event, now_ms);
	if (!doer)
		return;
	if (has_room(sampler, doer))
		kind = add_kind(sampler, doer, event);
	if (kind) {
		kind->written_ms = now_ms;
		sampler->write(kind->what, false, count, sampler->data);
		return;
	}
	doer->others += count;
}

static void tick_doers(struct sampler *sampler, uint64_t every_ms, uint64_t now_ms)
{
	size_t cursor = 0;
	struct doer *doer;
	while ((doer = table_next(sampler->doers, &cursor))) {
		if (now_ms - doer->written_ms < every_ms)
			continue;
		if (doer->others) {
			sampler->write(doer->who, true, doer->others, sampler->data);
			doer->others = 0;
			doer->written_ms = now_ms;
		} else if (doer->kinds == 0) {
			doer_free(sampler, doer);
		}
	}
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
		sampler->write(kind->what, false, kind->count, sampler->data);
		kind->written_ms = now_ms;
		kind->count = 0;
	}
	tick_doers(sampler, every_ms, now_ms);
}
