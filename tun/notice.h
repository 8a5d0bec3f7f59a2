// SPDX-License-Identifier: Apache-2.0
// The kernel's notices of changed interfaces, addresses and kernel routes (rtnetlink(7)), gathered. For host.c alone.
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"

struct notices;

// `own`: something about our interface itself. `others`: an interface, address or route that is not ours. At least one is
// true. Called at most every 100 ms, with all that came together.
typedef void (*notices_handler)(void *data, bool own, bool others);

// Addresses and routes of interface `index`, and routes in `table`, are ours: no word about them. 0 or -errno.
int notices_new(sd_event *event, unsigned index, unsigned table, notices_handler handler,
		void *data, struct notices **ret);
struct notices *notices_free(struct notices *notices); // takes NULL, returns NULL
DEFINE_CLEANUP(struct notices *, notices_free);
