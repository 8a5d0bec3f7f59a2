// SPDX-License-Identifier: Apache-2.0
// The control thread: one loop with everything that is not a packet. Starts the parts in order, reloads by building the new
// beside the old, stops in reverse.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"

struct config;
struct credentials;
struct engine;
struct error;
struct gateway;
struct initiator;
struct policy_role;
struct renewer;
struct revocation_role;
struct tunnel;
struct lookout;

// Takes the configuration (on failure too), whose path is copied for reloads. Everything is up when it returns; the error
// says what to do.
int engine_new(const char *path, struct config *config, struct engine **ret, struct error *error);
// Takes everything back. Takes NULL, returns NULL.
struct engine *engine_free(struct engine *engine);
DEFINE_CLEANUP(struct engine *, engine_free);

// Serves until a signal ends it (SIGTERM, SIGINT). 0 or -errno.
int engine_run(struct engine *engine);

// Who wants a reload, for the audit log, and hears of its end.
struct reload_order {
	unsigned
		confirm_s; // so long after it the configuration before comes back, unless engine_confirm() is called; 0: never
	uid_t uid;
	pid_t pid;
	void (*done)(const struct error *error,
		     void *data); // code 0: it is in force; NULL: the log says why not
	void *data;
};

// Begins to read the files again, which keeps neither packets nor requests waiting; on failure nothing changes. All errors of the files
// go to the log, the first to `done`, which is not called before this returns. -EBUSY: another one is under way, or waits for its
// confirmation.
int engine_reload(struct engine *engine, const struct reload_order *order, struct error *error);
// The same as soon as none is under way; once for all who ask meanwhile. Without `done`.
void engine_reload_soon(struct engine *engine, const struct reload_order *order);
// It goes on, but who gave this data to it does not hear of it.
void engine_reload_forget(struct engine *engine, const void *data);
// -ENOENT: nothing waits for it.
int engine_confirm(struct engine *engine, struct error *error);
// Seconds until the configuration before comes back, or until that is tried again; 0: it does not.
unsigned engine_unconfirmed(const struct engine *engine);
// Why it has not come back at the end of its time. NULL: it was not tried, or nothing is pending. Borrowed.
const struct error *engine_back_problem(const struct engine *engine);
// By link name or identity; NULL: everything. The number of sessions asked.
unsigned engine_reauth(struct engine *engine, const char *which);
// The number of sessions ended.
unsigned engine_disconnect(struct engine *engine, const char *identity);

// Begins a renewal of our certificate, as renewer_now().
int engine_renew(struct engine *engine, unsigned *ret_attempt, struct error *error);

// For reports. Borrowed.
sd_event *engine_event(const struct engine *engine);
const struct renewer *engine_renewer(const struct engine *engine);
struct lookout *engine_lookout(const struct engine *engine);
const struct config *engine_config(const struct engine *engine);
const struct credentials *engine_credentials(const struct engine *engine);
const struct policy_role *engine_policy(const struct engine *engine);
const struct revocation_role *engine_revocation(const struct engine *engine);
const struct tunnel *engine_tunnel(const struct engine *engine);
struct gateway *engine_gateway(const struct engine *engine); // NULL: none
// NULL past the end.
struct initiator *engine_initiator(const struct engine *engine, unsigned position);
