// SPDX-License-Identifier: Apache-2.0

#include "server/regrant.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/slices.h"
#include "server/roster.h"

struct regrant {
	struct regrant_tools tools;
	sd_event_source *source;
	uint64_t cursor;	  // of roster_before()
	bool waits;		  // somebody does, in this round
	bool last;		  // the round
	void (*done)(void *data); // NULL: it is over
	void *data;
};

static void end_round(struct regrant *regrant)
{
	regrant->cursor = ROSTER_END;
	regrant->last = regrant->waits && !regrant->last;
	regrant->waits = false;
	if (regrant->last) {
		slices_go_on(regrant->source);
		return;
	}
	void (*done)(void *data) = regrant->done;
	regrant->done = NULL;
	done(regrant->data);
}

static int on_slice(sd_event_source *source, uint64_t usec, void *data)
{
	struct regrant *regrant = data;
	uint64_t until = clock_ns() + SLICES_NS;
	struct member *member;
	(void)usec;
	do {
		member = roster_before(regrant->tools.roster, &regrant->cursor);
		if (member && !regrant->tools.grant(member, regrant->last, regrant->tools.data))
			regrant->waits = true;
	} while (member && clock_ns() < until);
	if (member)
		slices_go_on(source);
	else
		end_round(regrant);
	return 0;
}

struct regrant *regrant_new(const struct regrant_tools *tools)
{
	_cleanup_(regrant_freep) struct regrant *regrant = calloc(1, sizeof(*regrant));
	if (!regrant)
		return NULL;
	regrant->tools = *tools;
	if (slices_new(tools->event, on_slice, regrant, &regrant->source) < 0)
		return NULL;
	return take(regrant);
}

struct regrant *regrant_free(struct regrant *regrant)
{
	if (!regrant)
		return NULL;
	sd_event_source_disable_unref(regrant->source);
	free(regrant);
	return NULL;
}

void regrant_start(struct regrant *regrant, void (*done)(void *data), void *data)
{
	regrant->done = done;
	regrant->data = data;
	regrant->cursor = ROSTER_END;
	regrant->last = regrant->waits = false;
	slices_go_on(regrant->source);
}

bool regrant_wait(struct regrant *regrant)
{
	if (!regrant->done || regrant->last)
		return false;
	regrant->waits = true;
	return true;
}
