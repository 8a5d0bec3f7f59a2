// SPDX-License-Identifier: Apache-2.0
// Which networks lead to whom (`mutun routes`), as a feed: one JSON object a line,
//   {"prefix", "identity", "standby"}    "standby": another session has the same network, and this one waits
// Routes that change while it goes on may be missing, or be there twice.
#pragma once

#include <jansson.h>

struct engine;
struct error;
struct feed;

// Opens the feed. 0 or -errno with the reason.
int route_feed_open(struct engine *engine, const json_t *request, struct feed *feed,
		    struct error *error);
