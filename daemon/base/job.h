// SPDX-License-Identifier: Apache-2.0
// Work that may wait or take long (a request over the network, a large list), on a thread of its own that lets all others go first,
// with its end told on the loop that began it.
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"

struct job;

struct job_work {
	// On the job's thread. It ends soon after job_cancelled() has become true.
	void (*run)(struct job *job, void *data);
	// On the loop's thread, once, after run() has returned; may call job_free(). Not called once job_free() was.
	void (*done)(void *data);
	void *data;
	bool urgent; // somebody waits for it: it lets nobody go first
};

// Begins at once, on a thread that has all signals blocked. Returns a new job. 0 or -errno.
int job_new(sd_event *event, const struct job_work *work, struct job **ret);
// Waits for run() where it has not returned yet. Takes NULL, returns NULL.
struct job *job_free(struct job *job);
DEFINE_CLEANUP(struct job *, job_free);
// Whether nobody waits for the outcome any more. Any thread.
bool job_cancelled(const struct job *job);
