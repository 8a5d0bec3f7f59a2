// SPDX-License-Identifier: Apache-2.0
// A configuration that may come into force: its files read and checked, its policy tried and made into a filter, its sites and clients
// listed as the gateway wants them. All of that takes time and nobody else, so it is done on a job; what comes of it is judged and adopted on the loop.
#pragma once

#include <stdatomic.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "daemon/policy_role.h"
#include "daemon/reach.h"

struct addr;
struct config;
struct config_errors;
struct draft;
struct job;
struct terms;
struct prefix;

// Those whose jobs run. All zero: none.
struct drafts {
	struct draft *first;
	unsigned count;
};

struct draft_wish {
	const char *path;	// of the files; copied
	struct config *config;	// in place of them; a reference is taken. NULL: the files are read
	struct config *before;	// to compare policies with; a reference is taken. NULL: none
	unsigned most;		// changes that are kept then
	const struct addr *own; // this node's addresses at present; copied
	unsigned own_count;
	void (*done)(struct draft *draft, void *data); // on the loop; may call draft_free()
	void *data;
};

// Whose parts may be taken away once it is done.
struct draft {
	struct error error;	      // code 0: here is
	struct config *config;	      // what was wished for
	struct policy_made policy;    // of it
	struct terms *terms;	      // of it; NULL: no gateway
	struct config_errors *errors; // of the files; NULL: none, or out of memory
	struct reach reach;	      // what its policy changes; nothing where it is the same

	char *path;
	struct config *before;
	unsigned most;
	struct prefix *own;
	unsigned own_count;
	struct job *job;
	atomic_bool unwanted;
	void (*done)(struct draft *draft, void *data); // NULL: nobody wants it any more
	void *data;
	struct drafts *drafts; // NULL: the job is over
	struct draft *next, **at;
};

// Returns a new draft.
int draft_new(sd_event *event, struct drafts *drafts, const struct draft_wish *wish,
	      struct draft **ret, struct error *error);
// Never waits: while its job runs, the draft only forgets who wanted it. Takes NULL, returns NULL.
struct draft *draft_free(struct draft *draft);
DEFINE_CLEANUP(struct draft *, draft_free);
// Waits for the jobs that run, of drafts that were freed already, or are then.
void drafts_done(struct drafts *drafts);
