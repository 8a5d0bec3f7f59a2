// SPDX-License-Identifier: Apache-2.0
// Names to addresses without blocking the loop: getaddrinfo(3) on a thread of its own, which may outlive the question.
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/addr.h"
#include "base/cleanup.h"

struct resolve;

#define RESOLVE_MAX 16u // addresses per name that are looked at

// On the loop's thread: `count` addresses with the port, in the order of preference (RFC 6724), or count 0 and the reason.
// The question is over and need not be freed when this is called.
typedef void (*resolve_done)(const struct endpoint *endpoints, unsigned count, const char *reason,
			     void *data);

// Copies `host`: a name or an address. Returns a new question. 0 or -errno.
int resolve_new(sd_event *event, const char *host, uint16_t port, resolve_done done, void *data,
		struct resolve **ret);
// Gives the question up. Takes NULL, returns NULL.
struct resolve *resolve_free(struct resolve *resolve);
DEFINE_CLEANUP(struct resolve *, resolve_free);
