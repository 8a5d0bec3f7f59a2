// SPDX-License-Identifier: Apache-2.0
// How fast one direction of a session may be: a token bucket, kept as the time at which what was sent would be paid for (the virtual
// scheduling of ITU-T I.371), so that one atomic word is all there is, for all workers.
//
// A sender may run ahead of the rate by LIMIT_BURST_NS unhindered. Beyond that TCP is told, by a mark or one lost packet at a time, and
// others lose the more the further ahead they are, but for small packets, which are questions, voice, acknowledgements; from LIMIT_MOST_NS on nothing passes. What was sent ahead counts, so that the rate is
// kept in the long run, and a TCP that has to pause for a retransmission timeout loses nothing of it.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIMIT_BURST_NS UINT64_C(50000000)
#define LIMIT_MOST_NS  UINT64_C(300000000)
#define LIMIT_SMALL    300u // bytes

// Zero is no limit.
struct limit {
	_Atomic uint64_t rate;	       // bits per second
	_Atomic uint64_t paid_ns;      // when all that passed is paid for
	_Atomic uint64_t told_ns;      // when TCP was told last
	_Atomic uint64_t told_paid_ns; // and what that was then
};

enum limit_verdict {
	LIMIT_PASS,
	LIMIT_TELL, // its sender is to slow down: mark it, or lose a little of it
	LIMIT_DROP,
};

static inline bool limit_is_set(const struct limit *limit)
{
	return atomic_load_explicit(&limit->rate, memory_order_relaxed) != 0;
}

// Any worker. `size` bytes want to pass, at a monotonic time; `rtt_ns` of the session, 0: not known.
enum limit_verdict limit_take(struct limit *limit, size_t size, bool tcp, uint64_t rtt_ns,
			      uint64_t now_ns);
