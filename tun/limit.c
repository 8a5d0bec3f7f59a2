// SPDX-License-Identifier: Apache-2.0

#include "tun/limit.h"

#include "tun/backlog.h"

#define NS_PER_S UINT64_C(1000000000)

// Once in a round trip, since a sender needs one to react, and only while it is faster than the rate: the first packet after a pause,
// which comes alone, is not lost again.
static bool tell(struct limit *limit, uint64_t paid, uint64_t rtt_ns, uint64_t now_ns)
{
	uint64_t told = atomic_load_explicit(&limit->told_ns, memory_order_relaxed);
	uint64_t before = atomic_load_explicit(&limit->told_paid_ns, memory_order_relaxed);
	uint64_t wait = rtt_ns;
	if (wait < BACKLOG_INTERVAL_MIN_NS)
		wait = BACKLOG_INTERVAL_MIN_NS;
	if (wait > BACKLOG_INTERVAL_MAX_NS)
		wait = BACKLOG_INTERVAL_MAX_NS;
	if (now_ns < told + wait || paid - before < now_ns - told ||
	    !atomic_compare_exchange_strong_explicit(&limit->told_ns, &told, now_ns,
						     memory_order_relaxed, memory_order_relaxed))
		return false;
	atomic_store_explicit(&limit->told_paid_ns, paid, memory_order_relaxed);
	return true;
}

// With a probability that grows from none at LIMIT_BURST_NS to certainty at LIMIT_MOST_NS. The time is as good as chance.
static bool is_unlucky(uint64_t ahead, uint64_t now_ns)
{
	uint64_t chance = (now_ns ^ ahead) * UINT64_C(0x9e3779b97f4a7c15) >> 32;
	return chance * (LIMIT_MOST_NS - LIMIT_BURST_NS) < (ahead - LIMIT_BURST_NS) << 32;
}

enum limit_verdict limit_take(struct limit *limit, size_t size, bool tcp, uint64_t rtt_ns,
			      uint64_t now_ns)
{
	uint64_t rate = atomic_load_explicit(&limit->rate, memory_order_relaxed);
	uint64_t paid = atomic_load_explicit(&limit->paid_ns, memory_order_relaxed);
	uint64_t ahead;
	if (rate == 0)
		return LIMIT_PASS;
	bool bulk = size > LIMIT_SMALL;
	uint64_t cost = size * 8 * NS_PER_S / rate;
	do {
		ahead = paid > now_ns ? paid - now_ns : 0;
		if (ahead >= LIMIT_MOST_NS)
			return LIMIT_DROP;
		if (bulk && !tcp && ahead > LIMIT_BURST_NS && is_unlucky(ahead, now_ns))
			return LIMIT_DROP;
	} while (!atomic_compare_exchange_weak_explicit(&limit->paid_ns, &paid,
							now_ns + ahead + cost, memory_order_relaxed,
							memory_order_relaxed));
	return bulk && tcp && ahead > LIMIT_BURST_NS && tell(limit, paid, rtt_ns, now_ns)
		       ? LIMIT_TELL
		       : LIMIT_PASS;
}
