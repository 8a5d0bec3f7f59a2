// SPDX-License-Identifier: Apache-2.0
// The audit log: who had a session, what was refused or let through by a rule that says so, what was loaded, who changed something. A
// record is a JSON object. It goes to the journal (where stderr is the journal's) with a field MUTUN_NAME for each of its members, and as
// a line to a file (daemon/trail.h).
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <jansson.h>

#include "base/cleanup.h"
#include "tun/message.h"

struct audit;
struct config_audit;
struct error;
struct session;
struct trail_status;

enum audit_event {
	AUDIT_SESSION_BEGUN,
	AUDIT_SESSION_OVER,
	AUDIT_SESSION_CUT, // the same, where the peer was not to be trusted any more
	AUDIT_DENIED,
	AUDIT_ADMITTED,
	AUDIT_POLICY,
	AUDIT_ACT,
};

// `node`: our identity, copied; for every record. The error says why there can be none.
int audit_new(const struct config_audit *config, const char *node, struct audit **ret,
	      struct error *error);
struct audit *audit_free(struct audit *audit); // takes NULL, returns NULL
DEFINE_CLEANUP(struct audit *, audit_free);
// A reload: the file is opened anew, wherever it is now.
int audit_set(struct audit *audit, const struct config_audit *config, struct error *error);

// Takes the members (NULL: out of memory). `text` is for people, in the journal. Never waits. `audit` may be NULL.
void audit_put(struct audit *audit, enum audit_event event, json_t *members, const char *format,
	       ...) __attribute__((format(printf, 4, 5)));

// What somebody did over the control socket or by a signal, to whom (NULL: to all), and whether it was done (error->code 0).
void audit_act(struct audit *audit, const char *what, const char *whom, uid_t uid, pid_t pid,
	       const struct error *error);

// Who the peer of a session is: members identity, issuer, serial, spki, session. NULL: out of memory.
json_t *audit_session(const struct session *session);

// Of the file; false: there is none.
bool audit_status(const struct audit *audit, struct trail_status *ret);
