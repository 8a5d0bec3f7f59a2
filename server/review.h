// SPDX-License-Identifier: Apache-2.0
// All members of a gateway judged again, when trust or what is revoked changes: a few at a time, so that the control thread stays
// free. First everybody is judged, and who fails loses its keys at once; then those are taken down, one after the other.
//
// Everybody is looked at, also where one entry names one serial number: an index would have to follow each renewal, and to judge one
// member is seven look-ups, 1.1 to 1.5 us with up to 10,000 denials (tests/bench/micro): 15 ms for 10,000 members.
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"

struct member;
struct message_bye;
struct review;
struct roster;
struct tls_context;

struct review_tools {
	sd_event *event;	     // borrowed
	const struct roster *roster; // borrowed; a new member has been judged already
	// The member, whose keys are gone already, is taken down and freed.
	void (*end)(struct member *member, const struct message_bye *bye, void *data);
	// It may stay; `reason` as of review_start().
	void (*keep)(struct member *member, const char *reason, void *data);
	void *data;
};

// NULL: out of memory.
struct review *review_new(const struct review_tools *tools);
struct review *review_free(struct review *review); // takes NULL, returns NULL
DEFINE_CLEANUP(struct review *, review_free);

// Begins, or begins anew. Takes a reference of the context. `whole`: as for member_judge(). `reason` (copied; NULL: none) is handed
// on for those who stay.
void review_start(struct review *review, struct tls_context *context, bool whole,
		  const char *reason);
