// SPDX-License-Identifier: Apache-2.0
// The parts of an engine, for the files that are its inside: engine.c, engine_reload.c, reload.c, plan.c.
#pragma once

#include <systemd/sd-event.h>

#include "base/error.h"
#include "base/log.h"
#include "daemon/draft.h"
#include "daemon/engine.h"
#include "daemon/tunnel.h"

struct client_role;
struct clock_watch;
struct config_errors;
struct control;
struct gateway_role;
struct lookout;
struct policy_role;
struct reload;

// A configuration that is in force until the end of its time, unless somebody confirms it.
struct pending {
	struct config *before; // that comes back then; NULL: nothing is pending
	sd_event_source *timer;
	uint64_t until_ms;    // monotonic
	struct error problem; // why it did not come back when it was tried; code 0: nothing yet
};

struct engine {
	char *path;
	struct config *config;
	struct pending pending;
	struct drafts drafts;
	struct reload *reload;	   // under way; NULL: none
	struct reload_order again; // another one after it,
	bool reload_again;	   // if so
	bool roll_back;		   // or, first, the way back
	sd_event *event;
	sd_event_source *collect;
	struct lookout *lookout;
	struct tunnel tunnel;
	struct credentials *credentials;
	struct revocation_role *revocation_role;
	struct policy_role *policy_role;
	struct gateway_role *gateway_role;
	struct client_role *client_role;
	struct renewer *renewer;
	struct clock_watch *clock_watch;
	struct control *control;
};

// Everybody is judged again, and those that stay prove their identity again.
void engine_credentials_changed(struct engine *engine, const char *reason);
void engine_log_errors(const struct config_errors *errors, enum log_level level);
// What waited for the end of a reload begins, if none is under way.
void engine_next_reload(struct engine *engine);
// What is in force now comes back after that time.
int engine_begin_pending(struct engine *engine, unsigned confirm_s, struct error *error);
// Whatever is in force stays.
void engine_forget_pending(struct engine *engine);
// The configuration before does not come back, for this reason: that is tried again in a while. Whether the reason is another one
// than the last time.
bool engine_back_failed(struct engine *engine, const struct error *error);
