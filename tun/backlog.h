// SPDX-License-Identifier: Apache-2.0
// Keeps the queue in front of a worker short, so that a short packet does not wait behind megabytes of a long transfer. The
// kernel does not tell how long a TUN queue is, but whether it is empty: a queue that has not been for an interval stands, and
// its senders are told, at first once, then ever more often until it has been empty (the control law of CoDel, RFC 8289, 3.3).
// Senders need a round trip to react, so that is the interval, within limits.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define BACKLOG_INTERVAL_MIN_NS UINT64_C(2000000)
#define BACKLOG_INTERVAL_MAX_NS UINT64_C(100000000)

struct backlog {
	bool busy;	   // something was taken since it was last empty
	uint64_t empty_ns; // when it was last empty
	uint64_t next_ns;  // when to tell again
	unsigned told;	   // times since it was last empty
};

// The queue is empty. Times are monotonic nanoseconds.
void backlog_empty(struct backlog *backlog, uint64_t now_ns);
// Something was taken from it that goes `rtt_ns` away (0: not known). true: tell its sender, by a mark or a loss.
bool backlog_tell(struct backlog *backlog, uint64_t rtt_ns, uint64_t now_ns);
