// SPDX-License-Identifier: Apache-2.0
// Tells when files change under any writer: in place, rename, symlink swap of a mounted directory ("..data"), several
// files one after another. inotify on the directories, a poll every minute as a net for what inotify cannot see.
#pragma once

#include <stddef.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"

struct watch;

// Called on the loop's thread 100 ms after the last of a burst of changes to the content (SHA-256) of any of the files.
// A file that vanished counts as changed.
typedef void (*watch_changed)(void *data);

// Copies `paths`. Files and directories need not exist yet. Returns a new watch. 0 or -errno.
int watch_new(sd_event *event, const char *const *paths, size_t count, watch_changed changed,
	      void *data, struct watch **ret);
struct watch *watch_free(struct watch *watch); // takes NULL, returns NULL
DEFINE_CLEANUP(struct watch *, watch_free);
// Look again in `ms`, whether or not anything changes: for a set that was half written. The callback is called then.
void watch_again(struct watch *watch, unsigned ms);
