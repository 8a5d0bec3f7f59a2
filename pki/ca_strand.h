// SPDX-License-Identifier: Apache-2.0
// Whom a step of a roll-over would cut off.
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct ca;
struct error;
struct readiness;
struct rotation;

struct ca_strand {
	struct readiness *readiness; // what is known of nodes; NULL: nothing
	void (*tell)(const char *identity, const char *why, void *data); // may be NULL
	void *data;
	char *names; // out: of all of them, separated by spaces, new; NULL: none
	size_t count;
};

// Nodes that do not trust the new root, as far as anybody heard; with `leaves` also those that may still show a certificate
// which only the old root vouches for: it has not expired, and they were not heard since they were given another. Each is told once. -errno.
int ca_strand(struct ca *ca, const struct rotation *rotation, bool leaves, struct ca_strand *strand,
	      struct error *error);
