// SPDX-License-Identifier: Apache-2.0
// Answers about flows, a line each: the table as it is, or what begins or is refused from now on.
//   {"command": "flows", "from": ..., "follow": true, "denied": true}
#pragma once

#include <jansson.h>

struct engine;
struct error;
struct feed;

// Opens the feed. 0 or -errno with the reason.
int flow_feed_open(struct engine *engine, const json_t *request, struct feed *feed,
		   struct error *error);
