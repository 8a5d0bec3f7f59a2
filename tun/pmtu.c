// SPDX-License-Identifier: Apache-2.0

#include "tun/pmtu.h"

#include <stdio.h>

#define TRIES	   3u
#define AGAIN_MS   250u // between tries, or two round trips
#define CONFIRM_MS 1000u
#define LOOK_MS	   2000u // for large packets, where there were none
#define RAISE_MS   600000u

static unsigned smaller(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static void done(struct pmtu *pmtu, uint64_t now_ms)
{
	pmtu->state = PMTU_DONE;
	pmtu->probe = 0;
	pmtu->confirmed_ms = now_ms;
	pmtu->next_ms = now_ms + CONFIRM_MS;
}

static void ask(struct pmtu *pmtu, enum pmtu_state state, unsigned size, uint64_t now_ms)
{
	pmtu->state = state;
	pmtu->probe = size;
	pmtu->missed = 0;
	pmtu->tried_ms = 0;
	pmtu->next_ms = now_ms;
}

// Asks for what lies between, or ends the search.
static void halve(struct pmtu *pmtu, uint64_t now_ms)
{
	if (pmtu->high < pmtu->low + PMTU_GRAIN) {
		pmtu->raise_ms = now_ms + RAISE_MS;
		done(pmtu, now_ms);
		return;
	}
	ask(pmtu, PMTU_SEARCH, pmtu->low + (pmtu->high - pmtu->low + 1) / 2, now_ms);
}

void pmtu_start(struct pmtu *pmtu, unsigned ceiling, uint64_t now_ms)
{
	*pmtu = (struct pmtu){.ceiling = ceiling, .current = ceiling};
	ask(pmtu, PMTU_CONFIRM, ceiling, now_ms);
}

static void search_upwards(struct pmtu *pmtu, uint64_t now_ms)
{
	pmtu->low = pmtu->current;
	pmtu->high = pmtu->ceiling;
	ask(pmtu, PMTU_SEARCH, pmtu->ceiling, now_ms);
}

void pmtu_moved(struct pmtu *pmtu, uint64_t now_ms)
{
	if (pmtu->current < pmtu->ceiling)
		search_upwards(pmtu, now_ms);
	else
		ask(pmtu, PMTU_CONFIRM, pmtu->current, now_ms);
}

// What was asked about did not arrive, and other packets did.
static void failed(struct pmtu *pmtu, uint64_t now_ms)
{
	unsigned size = pmtu->probe;
	pmtu->lost = size;
	pmtu->high = size - 1;
	if (pmtu->state == PMTU_SEARCH && pmtu->low && size > pmtu->low) {
		halve(pmtu, now_ms);
	} else if (size > PMTU_BASE) {
		pmtu->current = PMTU_BASE;
		pmtu->low = 0;
		ask(pmtu, PMTU_SEARCH, PMTU_BASE, now_ms);
	} else if (size > PMTU_LEAST) {
		pmtu->current = pmtu->low = PMTU_LEAST;
		halve(pmtu, now_ms);
	} else {
		done(pmtu, now_ms); // smaller makes no sense: the path is as good as dead
	}
}

static void follow_probe(struct pmtu *pmtu, const struct pmtu_facts *facts, uint64_t now_ms)
{
	pmtu->missed += pmtu->tried_ms && facts->heard_ms > pmtu->tried_ms;
	if (pmtu->missed == TRIES)
		failed(pmtu, now_ms);
}

static void look(struct pmtu *pmtu, const struct pmtu_facts *facts, uint64_t now_ms)
{
	pmtu->next_ms = now_ms + LOOK_MS;
	if (now_ms >= pmtu->raise_ms && pmtu->current < pmtu->ceiling)
		search_upwards(pmtu, now_ms);
	else if (facts->large_ms > pmtu->confirmed_ms)
		ask(pmtu, PMTU_CONFIRM, pmtu->current, now_ms);
}

unsigned pmtu_tick(struct pmtu *pmtu, const struct pmtu_facts *facts, uint64_t now_ms)
{
	if (now_ms < pmtu->next_ms)
		return 0;
	if (pmtu->probe)
		follow_probe(pmtu, facts, now_ms);
	else
		look(pmtu, facts, now_ms);
	if (!pmtu->probe)
		return 0;
	uint64_t two_trips = 2 * facts->rtt_ns / 1000000;
	pmtu->tried_ms = now_ms;
	pmtu->next_ms = now_ms + (two_trips > AGAIN_MS ? two_trips : AGAIN_MS);
	return pmtu->probe;
}

void pmtu_answered(struct pmtu *pmtu, unsigned size, uint64_t now_ms)
{
	if (size < pmtu->probe || pmtu->probe == 0)
		return;
	size = smaller(size, pmtu->probe);
	if (pmtu->state == PMTU_CONFIRM) {
		done(pmtu, now_ms);
		return;
	}
	pmtu->current = pmtu->low = size;
	if (size == pmtu->ceiling)
		pmtu->lost = 0;
	halve(pmtu, now_ms);
}

uint64_t pmtu_deadline(const struct pmtu *pmtu)
{
	return pmtu->next_ms;
}

const char *pmtu_reason(const struct pmtu *pmtu, char text[PMTU_TEXT_MAX])
{
	if (pmtu->current == pmtu->ceiling)
		snprintf(text, PMTU_TEXT_MAX, "as agreed");
	else
		snprintf(text, PMTU_TEXT_MAX, "%s: the path lost packets of %u bytes",
			 pmtu->state == PMTU_SEARCH ? "being searched" : "found by probing",
			 pmtu->lost);
	return text;
}
