// SPDX-License-Identifier: Apache-2.0
// Time zones by name, several in one process: localtime() knows only the host's, and TZ is nothing that a process with threads
// can change.
#pragma once

#include <time.h>

#include "base/cleanup.h"

struct zone;
struct error;

// "Europe/Berlin", from /usr/share/zoneinfo. Returns a new, immutable one. -ENOENT: no such zone; -EINVAL: not a name, not a zone
// file; -ENOMEM.
int zone_load(const char *name, struct zone **ret, struct error *error);
struct zone *zone_free(struct zone *zone); // takes NULL, returns NULL
DEFINE_CLEANUP(struct zone *, zone_free);

// Local time, seconds east of UTC in tm_gmtoff. `zone` NULL: the host's. Any thread.
void zone_time(const struct zone *zone, time_t at, struct tm *ret);
