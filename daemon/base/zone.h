// SPDX-License-Identifier: Apache-2.0
// Time zones by name, several in one process: localtime() knows only the host's, and TZ is nothing that a process with threads
// can change.
#pragma once

#include <time.h>

#include "base/cleanup.h"

struct zone;
struct error;

// "Europe/Berlin", of the host's zone files. Returns a new, immutable one. -EINVAL: not a name, or not a zone file; -ENOENT: no
// such zone; other errors of reading a file.
int zone_load(const char *name, struct zone **ret, struct error *error);
// From the bytes of a zone file, version 2 or later (RFC 8536). -EINVAL, -ENOMEM.
int zone_parse(const void *data, size_t size, struct zone **ret);
struct zone *zone_free(struct zone *zone); // takes NULL, returns NULL
DEFINE_CLEANUP(struct zone *, zone_free);

// Local time; tm_gmtoff is right, tm_isdst and tm_zone say nothing. `zone` NULL: the host's, as localtime_r() knows it. Any thread.
void zone_time(const struct zone *zone, time_t at, struct tm *ret);
