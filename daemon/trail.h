// SPDX-License-Identifier: Apache-2.0
// A file of lines that is only ever added to, with older ones beside it: FILE, FILE.1, FILE.2 ... A thread of its own writes, so that a
// slow disk delays nobody. What cannot be written now (a full disk, a missing directory) waits within bounds and is written later; what
// no longer finds room is lost, counted, and told in the log and in the file.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

struct trail;

#define TRAIL_WAITING_MAX (4u << 20) // bytes

struct trail_options {
	const char *path; // copied
	uint64_t size;	  // a file is not longer, but for a single line
	unsigned keep;	  // older files; 0: none
};

// Starts the thread, which opens the file (mode 0600) when there is something to write. 0 or -errno.
int trail_new(const struct trail_options *options, struct trail **ret);
// Writes what is waiting, if that goes at once. Takes NULL, returns NULL.
struct trail *trail_free(struct trail *trail);
DEFINE_CLEANUP(struct trail *, trail_free);

// From now on so; the file is opened anew in any case, as whoever renames it from outside wants it. -ENOMEM: as before.
int trail_set(struct trail *trail, const struct trail_options *options);
// Adds a line (without its newline); never waits.
void trail_put(struct trail *trail, const char *line, size_t size);

struct trail_status {
	uint64_t written, lost; // lines
	uint64_t waiting;	// bytes
	unsigned rotated;
	struct error problem; // code 0: none now
};
void trail_status(struct trail *trail, struct trail_status *ret);
