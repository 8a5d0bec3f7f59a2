// SPDX-License-Identifier: Apache-2.0
// Answers about sessions, a line each (daemon/report_session.h): first those of links, by their names, then those of the gateway, from the
// newest on.
//   {"command": "sessions"}
#pragma once

#include <jansson.h>

struct engine;
struct error;
struct feed;

// Opens the feed. 0 or -errno with the reason.
int session_feed_open(struct engine *engine, const json_t *request, struct feed *feed,
		      struct error *error);
