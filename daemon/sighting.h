// SPDX-License-Identifier: Apache-2.0
// A note of a worker (tun/note.h) with the names that people know: who, and which rule.
#pragma once

#include <jansson.h>

#include "tun/message_refusal.h"
#include "tun/note.h"

struct engine;

struct sighting {
	const struct note *note;
	const char *from, *to;	  // identities; NULL: an address alone
	const char *rule, *place; // never NULL; empty: none
	uint64_t count;
};

// Borrows from the note, the data plane and the policy in force, until the loop goes on.
struct sighting sighting_of(const struct note *note, const struct engine *engine);
// Members: from, from_address, to, to_address, protocol, port, service, rule, place, reason. NULL: out of memory.
json_t *sighting_json(const struct sighting *sighting);
void sighting_refusal(const struct sighting *sighting, struct refusal *ret);
