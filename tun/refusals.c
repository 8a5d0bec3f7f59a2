// SPDX-License-Identifier: Apache-2.0

#include "tun/refusals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"

static bool same(const struct refusal *a, const struct refusal *b)
{
	return a->port == b->port && a->protocol == b->protocol && addr_equal(&a->to, &b->to) &&
	       addr_equal(&a->from, &b->from) && strcmp(a->place, b->place) == 0;
}

// The place of the same refusal, or the one that is free or becomes so.
static unsigned place_for(struct refusals *refusals, const struct refusal *refusal)
{
	unsigned oldest = 0;
	for (unsigned i = 0; i < refusals->count; i++) {
		if (same(&refusals->list[i], refusal))
			return i;
		if (refusals->at_ms[i] < refusals->at_ms[oldest])
			oldest = i;
	}
	if (refusals->count < MESSAGE_REFUSALS_MAX)
		oldest = refusals->count++;
	else
		refusals->others += refusals->list[oldest].count;
	refusals->list[oldest] = *refusal;
	refusals->list[oldest].count = 0;
	return oldest;
}

void refusals_add(struct refusals *refusals, const struct refusal *refusal, uint64_t now_ms)
{
	unsigned i = place_for(refusals, refusal);
	struct refusal *place = &refusals->list[i];
	uint64_t room = INT64_MAX - place->count; // what a message can say
	uint64_t count = place->count + (refusal->count < room ? refusal->count : room);
	*place = *refusal;
	place->count = count;
	refusals->at_ms[i] = now_ms;
}

int refusals_due_add(struct refusals_due *due, const struct refusal *refusal, uint64_t now_ms)
{
	if (!due->waiting)
		due->waiting = calloc(1, sizeof(*due->waiting));
	if (!due->waiting)
		return -ENOMEM;
	refusals_add(due->waiting, refusal, now_ms);
	return 0;
}

uint64_t refusals_due_at(const struct refusals_due *due)
{
	if (!due->waiting)
		return CLOCK_NEVER;
	return due->told_ms ? due->told_ms + REFUSALS_EVERY_MS : 0;
}

bool refusals_due_take(struct refusals_due *due, uint64_t now_ms, struct message_refusal *ret)
{
	if (now_ms < refusals_due_at(due))
		return false;
	_cleanup_(freep) struct refusals *waiting = take(due->waiting);
	memcpy(ret->list, waiting->list, waiting->count * sizeof(ret->list[0]));
	ret->count = waiting->count;
	ret->others = waiting->others < INT64_MAX ? waiting->others : INT64_MAX;
	due->told_ms = now_ms;
	return true;
}

void refusals_due_done(struct refusals_due *due)
{
	free(take(due->waiting));
}
