// SPDX-License-Identifier: Apache-2.0
// The control socket: one JSON object with a newline in, one out, then the connection closes. SO_PEERCRED decides: root and
// the daemon's own user may do everything, others may look. How many ask at a time is bounded, also for each of the others, who never
// keep out root and the daemon's own user.
//   {"command": "status"} -> {"ok": true, "result": {...}}
// Some answers go on, a line each time something happens, until the client goes (daemon/feed.h): then the first line is
//   {"ok": true, "feed": true}
// An answer that takes its time (reload, plan) keeps nobody else waiting.
//   {"command": "disconnect", "identity": "spiffe://..."} -> {"ok": false, "error": "..."}
#pragma once

#include <systemd/sd-event.h>

#include "base/cleanup.h"

struct control;
struct engine;
struct error;

// Makes the socket (and its directory, 0755); a socket that nobody listens on is replaced. Borrows the engine.
int control_new(sd_event *event, const char *path, struct engine *engine, struct control **ret,
		struct error *error);
struct control *
control_free(struct control *control); // removes the socket; takes NULL, returns NULL
DEFINE_CLEANUP(struct control *, control_free);
