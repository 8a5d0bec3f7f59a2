// SPDX-License-Identifier: Apache-2.0
// Who a peer is to the packet path: one per identity, from its first session until its last flow is gone, so that flows survive a new
// session of the same identity, and nobody inherits those of another. Number 0 means: no peer, but this host or a network behind it.
// A gateway that this node dials is another one than the same identity dialling this node: what the certificate of the one says must not
// count for the other, nor do rules for one end judge the flows of the other.
//
// Threads: the control thread makes, changes and frees subjects. Workers reach them by their sessions and flows under RCU, which keep
// them: a subject goes only when it has neither, and what has gone out of sight has been waited for.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "pki/facts.h"

#define SUBJECTS_MAX 65536u

struct subjects;

struct subject {
	char *identity;
	bool link;	 // this node dials it
	uint16_t number; // 1..SUBJECTS_MAX - 1

	_Atomic uint32_t
		generation; // grows when what it is judged by changes; written by the control thread
	// Written by whoever adds and removes flows.
	_Atomic unsigned
		flows; // that count against it: it began them, or the network began them to it
	_Atomic unsigned named; // flows that it is at either end of
	// Written by workers.
	_Atomic uint64_t denied;     // packets
	_Atomic uint64_t answers_ns; // monotonic: until when its answers are used up (tun/pass.c)

	// The control thread's own.
	struct facts facts; // of its newest certificate; zero before the first
	unsigned sessions;
	uint64_t left_s; // monotonic: when it had no session any more
};

struct subjects *subjects_new(void); // NULL: out of memory
// No session and no flow may be left. Takes NULL, returns NULL.
struct subjects *subjects_free(struct subjects *subjects);
DEFINE_CLEANUP(struct subjects *, subjects_free);

// For one more session of the identity (copied). Borrowed until subject_put(). -ENOSPC: as many as there can be. -ENOMEM.
int subject_get(struct subjects *subjects, const char *identity, bool link, struct subject **ret);
// That session is over, and no worker has it in hand. Takes NULL.
void subject_put(struct subjects *subjects, struct subject *subject, uint64_t now_s);
// Takes the facts of a new certificate. true: they are others than before.
bool subject_set_facts(struct subject *subject, struct facts *facts);
// Frees those that nothing needs any more.
void subjects_collect(struct subjects *subjects);

// Control thread. NULL: none.
struct subject *subject_find(const struct subjects *subjects, const char *identity, bool link);
struct subject *subject_at(const struct subjects *subjects, unsigned number);
// Walks all: start with *cursor = 0; NULL at the end.
struct subject *subjects_next(const struct subjects *subjects, size_t *cursor);
size_t subjects_count(const struct subjects *subjects);
// Any thread. How many have a session.
unsigned subjects_present(const struct subjects *subjects);
