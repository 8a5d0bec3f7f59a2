// SPDX-License-Identifier: Apache-2.0
// All members of a gateway get what other options grant them: a few at a time, so that the control thread stays free, in two rounds,
// because a network may move from one to another, or change places with one.
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"

struct member;
struct regrant;
struct roster;

struct regrant_tools {
	sd_event *event;	     // borrowed
	const struct roster *roster; // borrowed
	// The member may end. false: it waits for what another one has not given up yet; not so the `last` time.
	bool (*grant)(struct member *member, bool last, void *data);
	void *data;
};

// NULL: out of memory.
struct regrant *regrant_new(const struct regrant_tools *tools);
struct regrant *regrant_free(struct regrant *regrant); // takes NULL, returns NULL
DEFINE_CLEANUP(struct regrant *, regrant_free);

// Begins. `done` once, from the loop, unless regrant_free() is called before. Not before the one before is done.
void regrant_start(struct regrant *regrant, void (*done)(void *data), void *data);
// A member that has proved itself anew meanwhile waits for what another one has not given up yet. true: the last round is still to come.
bool regrant_wait(struct regrant *regrant);
