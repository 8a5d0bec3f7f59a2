// SPDX-License-Identifier: Apache-2.0

#include "tun/mtu.h"

#include <stdio.h>

// Of a path that loses one in five each way, so many large ones are lost beside small ones that are not once in a week.
#define TRIES	    10u
#define ANSWER_MS   250u // for the first and for the last try, or two round trips
#define AGAIN_MS    100u // between the others, or one and a half
#define CONFIRM_MS  1000u
#define LOOK_MS	    2000u   // for large packets, where there were none
#define SILENT_MANY 8u	    // tries, in 10 s, that nothing at all came back of
#define RAISE_MS    60000u  // doubled each time
#define RAISE_MAX   600000u // RFC 8899, 5.1.1

static unsigned smaller(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static void done(struct mtu *mtu, uint64_t now_ms)
{
	mtu->state = MTU_DONE;
	mtu->probe = 0;
	mtu->confirmed_ms = now_ms;
	mtu->next_ms = now_ms + CONFIRM_MS;
}

static void ask(struct mtu *mtu, enum mtu_state state, unsigned size, uint64_t now_ms)
{
	mtu->state = state;
	mtu->probe = size;
	mtu->missed = mtu->silent = 0;
	mtu->tried_ms = 0;
	mtu->next_ms = now_ms;
}

// Asks for what lies between, or ends the search.
static void halve(struct mtu *mtu, uint64_t now_ms)
{
	if (mtu->high < mtu->low + MTU_GRAIN) {
		mtu->raise_ms = now_ms + mtu->raise_after_ms;
		mtu->raise_after_ms = smaller(2 * mtu->raise_after_ms, RAISE_MAX);
		done(mtu, now_ms);
		return;
	}
	ask(mtu, MTU_SEARCH, mtu->low + (mtu->high - mtu->low + 1) / 2, now_ms);
}

void mtu_start(struct mtu *mtu, unsigned ceiling, uint64_t now_ms)
{
	*mtu = (struct mtu){.ceiling = ceiling, .current = ceiling, .raise_after_ms = RAISE_MS};
	ask(mtu, MTU_CONFIRM, ceiling, now_ms);
}

static void search_upwards(struct mtu *mtu, uint64_t now_ms)
{
	mtu->low = mtu->current;
	mtu->high = mtu->ceiling;
	ask(mtu, MTU_SEARCH, mtu->ceiling, now_ms);
}

void mtu_moved(struct mtu *mtu, uint64_t now_ms)
{
	mtu->raise_after_ms = RAISE_MS;
	if (mtu->current < mtu->ceiling)
		search_upwards(mtu, now_ms);
	else
		ask(mtu, MTU_CONFIRM, mtu->current, now_ms);
}

// What was asked about did not arrive, and small ones did.
static void failed(struct mtu *mtu, uint64_t now_ms)
{
	unsigned size = mtu->probe;
	mtu->lost = size;
	mtu->high = size - 1;
	if (mtu->state == MTU_CONFIRM)
		mtu->raise_after_ms = RAISE_MS;
	if (mtu->state == MTU_SEARCH && mtu->low && size > mtu->low) {
		halve(mtu, now_ms);
	} else if (size > MTU_BASE) {
		mtu->current = MTU_BASE;
		mtu->low = 0;
		ask(mtu, MTU_SEARCH, MTU_BASE, now_ms);
	} else if (size > MTU_LEAST) {
		mtu->current = mtu->low = MTU_LEAST;
		halve(mtu, now_ms);
	} else {
		done(mtu, now_ms); // smaller makes no sense: the path is as good as dead
	}
}

static void follow_probe(struct mtu *mtu, const struct mtu_facts *facts, uint64_t now_ms)
{
	if (mtu->tried_ms == 0)
		return;
	bool small_arrived = facts->small_ms >= mtu->tried_ms;
	mtu->missed += small_arrived;
	mtu->silent = small_arrived ? 0 : mtu->silent + 1;
	if (mtu->missed == TRIES)
		failed(mtu, now_ms);
}

static void look(struct mtu *mtu, const struct mtu_facts *facts, uint64_t now_ms)
{
	mtu->next_ms = now_ms + LOOK_MS;
	if (now_ms >= mtu->raise_ms && mtu->current < mtu->ceiling)
		search_upwards(mtu, now_ms);
	else if (facts->large_ms > mtu->confirmed_ms)
		ask(mtu, MTU_CONFIRM, mtu->current, now_ms);
}

// The first try mostly is the only one, and after the last comes a verdict: these are given time. The rest make sure of it.
// Where nothing at all arrives there is less and less hurry.
static uint64_t wait_ms(const struct mtu *mtu, const struct mtu_facts *facts)
{
	bool patient = mtu->missed == 0 || mtu->missed == TRIES - 1;
	uint64_t trips = (patient ? 4 : 3) * facts->rtt_ns / 2000000;
	unsigned wait = patient ? ANSWER_MS : AGAIN_MS;
	for (unsigned i = 1; i < mtu->silent && wait < LOOK_MS; i++)
		wait = smaller(2 * wait, LOOK_MS);
	return wait > trips ? wait : trips;
}

unsigned mtu_tick(struct mtu *mtu, const struct mtu_facts *facts, uint64_t now_ms)
{
	if (now_ms < mtu->next_ms)
		return 0;
	if (mtu->probe)
		follow_probe(mtu, facts, now_ms);
	else
		look(mtu, facts, now_ms);
	if (!mtu->probe)
		return 0;
	mtu->tried_ms = now_ms;
	mtu->next_ms = now_ms + wait_ms(mtu, facts);
	return mtu->probe;
}

void mtu_answered(struct mtu *mtu, unsigned size, uint64_t now_ms)
{
	if (size < mtu->probe || mtu->probe == 0)
		return;
	size = smaller(size, mtu->probe);
	if (mtu->state == MTU_CONFIRM) {
		done(mtu, now_ms);
		return;
	}
	mtu->current = mtu->low = size;
	if (size == mtu->ceiling)
		mtu->lost = 0;
	halve(mtu, now_ms);
}

bool mtu_rests(const struct mtu *mtu)
{
	return mtu->probe == 0 || mtu->silent >= SILENT_MANY;
}

uint64_t mtu_deadline(const struct mtu *mtu)
{
	return mtu->next_ms;
}

const char *mtu_reason(const struct mtu *mtu, char text[MTU_TEXT_MAX])
{
	if (mtu->current == mtu->ceiling)
		snprintf(text, MTU_TEXT_MAX, "as agreed");
	else
		snprintf(text, MTU_TEXT_MAX, "%s: the path lost packets of %u bytes",
			 mtu->state == MTU_SEARCH ? "being searched" : "found by probing",
			 mtu->lost);
	return text;
}
