// SPDX-License-Identifier: Apache-2.0
// Lists of denials in files: those that a CA or somebody else puts there are watched, and what is new goes into the store; of what is
// in the store, from wherever, a copy is kept in the state directory, so that a restart forgets nothing.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"

struct denial_files;
struct denial_store;
struct error;
struct trust;

struct denial_files_tools { // borrowed until denial_files_free(); `state` is copied
	sd_event *event;
	struct denial_store *store;
	const char *state;
	struct trust *(*trust)(void *data); // of today; borrowed
	void *data;
};

#define DENIAL_FILES_MAX 2u

// Reads the copies. What cannot be read of them is said in the log. -ENOMEM.
int denial_files_new(const struct denial_files_tools *tools, struct denial_files **ret);
// Waits for what is being read or written. Takes NULL, returns NULL.
struct denial_files *denial_files_free(struct denial_files *files);
DEFINE_CLEANUP(struct denial_files *, denial_files_free);

// The files to watch from now on (copied; at most DENIAL_FILES_MAX), and to read; one need not be there yet. Large ones are read on a
// thread of its own, unless the caller means to `wait`.
int denial_files_watch(struct denial_files *files, const char *const *paths, size_t count,
		       bool wait, struct error *error);
// The store has another list of this domain: its copy is written, on a thread of its own.
void denial_files_keep(struct denial_files *files);
// Of the watched files; code 0: all is well. Borrowed.
const struct error *denial_files_problem(const struct denial_files *files);
