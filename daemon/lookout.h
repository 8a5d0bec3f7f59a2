// SPDX-License-Identifier: Apache-2.0
// What happens to packets and sessions, as people want to hear of it: takes what workers noted, tells refused peers, keeps the last
// refusals for status, writes the audit log, and hands it all on to whoever follows over the control socket.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "daemon/sighting.h"
#include "tun/dialogue.h"

struct audit;
struct config_audit;
struct dataplane;
struct error;
struct feed;
struct engine;
struct refusals;
struct lookout;
struct witness;

struct lookout_tools { // borrowed until lookout_free()
	sd_event *event;
	struct dataplane *dataplane;
	const char *identity; // of this node; copied
	struct engine *engine;
};

// Before anybody has a session. The error says why there can be no audit log.
int lookout_new(const struct lookout_tools *tools, const struct config_audit *config,
		struct lookout **ret, struct error *error);
// When nobody has one any more.
struct lookout *lookout_free(struct lookout *lookout); // takes NULL, returns NULL
DEFINE_CLEANUP(struct lookout *, lookout_free);

// For those who have sessions.
const struct witness *lookout_witness(const struct lookout *lookout);
// What the configuration says now. Where the new place of the audit log cannot be had, the old one stays.
void lookout_reload(struct lookout *lookout, const struct config_audit *config);
struct audit *lookout_audit(const struct lookout *lookout);
// What somebody did over the control socket or by a signal: as audit_act().
void lookout_act(const struct lookout *lookout, const char *what, const char *whom, uid_t uid,
		 pid_t pid, const struct error *error);

// A policy was to be loaded, and it came about (error->code 0) or not.
void lookout_policy(const struct lookout *lookout, const struct error *error);

// Refused here, lately.
const struct refusals *lookout_refusals(const struct lookout *lookout);

// Calls `each` for every note from now on, until lookout_forget().
struct lookout_follower {
	void (*each)(const struct sighting *sighting, void *data);
	void *data;
	struct lookout_follower *next;
};
void lookout_follow(struct lookout *lookout, struct lookout_follower *follower); // borrowed
void lookout_forget(struct lookout *lookout, struct lookout_follower *follower);
