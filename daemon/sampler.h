// SPDX-License-Identifier: Apache-2.0
// Things that happen again and again, of which only some are written: the first of its kind at once, the others together, once in a
// while. Whoever does ever new things leaves room to others: beyond his share his are counted without saying what they were. No I/O and
// no clock.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "base/cleanup.h"

struct sampler;

#define SAMPLER_KINDS_MAX 8192u // at one time
#define SAMPLER_SHARE	  64u // the most that somebody may have is one of so many places that are free

// Writes one: what it is (borrowed), or else of whom, with `others`: what else he did; and how many it stands for.
typedef void (*sampler_write)(json_t *what, bool others, uint64_t count, void *data);

// Something that happened. The keys are copied.
struct sampler_event {
	const void *key; // of its kind
	size_t size;
	const void *doer_key;
	size_t doer_size;
	// Where a kind or somebody is new: what it is, who (new references).
	json_t *(*describe)(const void *subject);
	json_t *(*describe_doer)(const void *subject);
	const void *subject;
};

struct sampler *sampler_new(sampler_write write, void *data); // NULL: out of memory
struct sampler *
sampler_free(struct sampler *sampler); // what was not written is not; takes NULL, returns NULL
DEFINE_CLEANUP(struct sampler *, sampler_free);

void sampler_add(struct sampler *sampler, const struct sampler_event *event, uint64_t count,
		 uint64_t now_ms);
// Writes what was not written for `every_ms`, and forgets what was not seen for so long.
void sampler_tick(struct sampler *sampler, uint64_t every_ms, uint64_t now_ms);
