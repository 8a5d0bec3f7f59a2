// SPDX-License-Identifier: Apache-2.0
// Things that happen again and again, of which only some are written: the first of its kind at once, the others together, once in a
// while. No I/O and no clock.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "base/cleanup.h"

struct sampler;

#define SAMPLER_KINDS_MAX 4096u // at one time; what is beyond them is only counted

// Writes one: what it is (borrowed; NULL: all those that found no place) and how many it stands for.
typedef void (*sampler_write)(json_t *what, uint64_t count, void *data);

struct sampler *sampler_new(sampler_write write, void *data); // NULL: out of memory
struct sampler *
sampler_free(struct sampler *sampler); // what was not written is not; takes NULL, returns NULL
DEFINE_CLEANUP(struct sampler *, sampler_free);

// `count` more of the kind whose key this is (copied). Where the kind is new, describe() says what it is (a new reference).
void sampler_add(struct sampler *sampler, const void *key, size_t size, uint64_t count,
		 uint64_t now_ms, json_t *(*describe)(const void *subject), const void *subject);
// Writes what was not written for `every_ms`, and forgets kinds that were not seen for so long.
void sampler_tick(struct sampler *sampler, uint64_t every_ms, uint64_t now_ms);
