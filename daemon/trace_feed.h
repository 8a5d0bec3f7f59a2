// SPDX-License-Identifier: Apache-2.0
// What becomes of the next packets that match, a line each.
//   {"command": "trace", "from": ..., "count": 10}
#pragma once

#include <jansson.h>

struct engine;
struct error;
struct feed;

// Opens the feed. 0 or -errno with the reason: -EBUSY: somebody traces already.
int trace_feed_open(struct engine *engine, const json_t *request, struct feed *feed,
		    struct error *error);
