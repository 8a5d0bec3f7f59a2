// SPDX-License-Identifier: Apache-2.0
// The newest list of denials of each trust domain that this node knows, and where it has it from. For one thread.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

struct denial_store;
struct denials;

#define DENIAL_STORE_MAX  16u // trust domains
#define DENIAL_SOURCE_MAX 256u

struct denial_entry {
	struct denials *denials;	// never NULL
	char source[DENIAL_SOURCE_MAX]; // "FILE", or the identity of a peer
	struct error problem;		// of later ones; code 0: none
};

// `changed` (may be NULL) is called after each list that came. NULL: out of memory.
struct denial_store *denial_store_new(void (*changed)(const char *domain, void *data), void *data);
struct denial_store *denial_store_free(struct denial_store *store); // takes NULL, returns NULL
DEFINE_CLEANUP(struct denial_store *, denial_store_free);

// Borrowed until the next change; NULL: none.
struct denials *denial_store_find(const struct denial_store *store, const char *domain);
// In the order in which they came first; NULL past the end. Borrowed likewise.
const struct denial_entry *denial_store_at(const struct denial_store *store, size_t position);
// A list that denials_add() made of the one that is here (a reference is taken). -ENOSPC, -ENOMEM.
int denial_store_put(struct denial_store *store, struct denials *denials, const char *source);
// What is wrong with a newer list of this domain that could not be taken.
void denial_store_fault(struct denial_store *store, const char *domain, const struct error *error);
