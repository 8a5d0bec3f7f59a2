// SPDX-License-Identifier: Apache-2.0
// What can be asked over the control socket: the table of commands.
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <jansson.h>

struct engine;
struct error;
struct feed;

struct request {
	struct engine *engine;
	const json_t *body; // an object
	struct feed *feed;  // for an answer that goes on or comes later
	bool crowded;	    // too many go on
	bool may_act;	    // root, or the daemon's own user
	uid_t uid;	    // who asks
	pid_t pid;
};

// Returns the result (a new reference), or NULL with the reason in `error`. With a feed that is open afterwards, the rest comes over it.
json_t *request_run(const struct request *request, struct error *error);
