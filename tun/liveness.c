// SPDX-License-Identifier: Apache-2.0

#include "tun/liveness.h"

#include "tun/packet.h"

#define TICK_INITIATOR_MS 500u
#define TICK_RESPONDER_MS 5000u

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t dead_after(const struct liveness_facts *facts)
{
	uint64_t least = facts->in_channel ? DEAD_IN_CHANNEL_MS : DEAD_AFTER_MS;
	if (facts->rtt_ns == 0)
		return later(least, DEAD_UNMEASURED_MS);
	return later(4 * facts->rtt_ns / 1000000, least);
}

static uint64_t blocked_after(const struct liveness_facts *facts)
{
	return facts->rtt_ns ? dead_after(facts) : BLOCKED_UNMEASURED_MS;
}

void liveness_probing(struct liveness *liveness, uint64_t now_ms)
{
	if (liveness->probing_since_ms == 0)
		liveness->probing_since_ms = now_ms;
	liveness->probe_next_ms = now_ms + PROBE_AGAIN_MS;
	liveness->probed_ms = now_ms;
}

// What is due while a probe is not answered.
static enum liveness_wish judge_silence(struct liveness *liveness,
					const struct liveness_facts *facts, uint64_t now_ms)
{
	uint64_t silent_ms = now_ms - liveness->probing_since_ms;
	bool channel_lives =
		!facts->in_channel && liveness->channel_heard_ms >= liveness->probing_since_ms;
	enum liveness_wish wish = LIVENESS_NOTHING;
	if (channel_lives && silent_ms >= blocked_after(facts))
		wish = LIVENESS_BLOCKED;
	else if (silent_ms >= dead_after(facts))
		wish = LIVENESS_DEAD;
	if (wish != LIVENESS_NOTHING) {
		liveness->probing_since_ms = 0;
		return wish;
	}
	if (now_ms < liveness->probe_next_ms)
		return LIVENESS_NOTHING;
	liveness_probing(liveness, now_ms);
	return LIVENESS_DOUBT;
}

static enum liveness_wish tick_initiator(struct liveness *liveness,
					 const struct liveness_facts *facts, uint64_t now_ms)
{
	if (liveness->probing_since_ms && facts->heard_ms >= liveness->probing_since_ms)
		liveness->probing_since_ms = 0;
	if (liveness->probing_since_ms)
		return judge_silence(liveness, facts, now_ms);
	bool unanswered =
		facts->spoke_ms > facts->heard_ms && now_ms >= facts->heard_ms + ANSWER_WITHIN_MS;
	bool fell_silent =
		facts->received_ms > liveness->probed_ms && now_ms >= facts->heard_ms + SILENCE_MS;
	if (!unanswered && !fell_silent && now_ms < liveness->probed_ms + liveness->keepalive_ms)
		return LIVENESS_NOTHING;
	liveness_probing(liveness, now_ms);
	return LIVENESS_PROBE;
}

static uint64_t let_go_ms(const struct liveness *liveness, const struct liveness_facts *facts)
{
	uint64_t heard = later(facts->heard_ms, liveness->channel_heard_ms);
	return heard + LIVENESS_PERIODS * liveness->keepalive_ms;
}

// A path that was never measured is not left alone.
static bool is_idle(const struct liveness_facts *facts, uint64_t now_ms)
{
	return now_ms >= later(facts->spoke_ms, facts->received_ms) + LIVENESS_REST_MS &&
	       (facts->rtt_ns || facts->heard_ms == 0);
}

static enum liveness_wish tick_responder(struct liveness *liveness,
					 const struct liveness_facts *facts, uint64_t now_ms)
{
	if (now_ms > let_go_ms(liveness, facts))
		return LIVENESS_DEAD;
	if (now_ms < liveness->probe_next_ms || is_idle(facts, now_ms))
		return LIVENESS_NOTHING;
	liveness->probe_next_ms = now_ms + liveness->keepalive_ms;
	return facts->heard_ms ? LIVENESS_PROBE : LIVENESS_NOTHING;
}

enum liveness_wish liveness_tick(struct liveness *liveness, const struct liveness_facts *facts,
				 uint64_t now_ms)
{
	enum liveness_wish wish = liveness->initiator ? tick_initiator(liveness, facts, now_ms)
						      : tick_responder(liveness, facts, now_ms);
	liveness->rest_until_ms = 0;
	if (wish != LIVENESS_DEAD && is_idle(facts, now_ms))
		liveness->rest_until_ms = liveness->initiator
						  ? liveness->probed_ms + liveness->keepalive_ms
						  : let_go_ms(liveness, facts) + 1;
	return wish;
}

bool liveness_rests(const struct liveness *liveness)
{
	return liveness->rest_until_ms && !liveness->probing_since_ms;
}

uint64_t liveness_deadline(const struct liveness *liveness, uint64_t now_ms)
{
	uint64_t next = now_ms + (liveness->initiator ? TICK_INITIATOR_MS : TICK_RESPONDER_MS);
	bool probes = !liveness->initiator || liveness->probing_since_ms;
	if (liveness_rests(liveness))
		return liveness->rest_until_ms;
	return probes && liveness->probe_next_ms < next ? liveness->probe_next_ms : next;
}
