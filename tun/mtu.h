// SPDX-License-Identifier: Apache-2.0
// How large packets the path carries, found by asking the peer what arrived (RFC 8899, packetization layer path MTU discovery for
// datagrams). No I/O and no clock: facts and `now` in, a wish, the size and the next deadline out. Times are monotonic
// milliseconds; sizes are of inner packets.
//
// It begins with what both ends agreed on, since most paths carry that. Whether packets of the size in use still arrive is asked
// again every second in which large ones were sent. Beside each question goes a small one, on the same path, and only where the
// answer to that comes is the lack of the other counted: an end that is not there, or no longer where it was, loses packets of all
// sizes (RFC 8899, 4.3). When ten are missing so (a black hole), MTU_BASE is taken at once, and what lies between is found by halving. A path that does not even carry that gets MTU_LEAST until its size is
// known. From time to time more is tried again.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define MTU_BASE     1280u // every path of IPv6 carries it
#define MTU_LEAST    296u  // RFC 1191, 7.1: the smallest that is met in practice
#define MTU_GRAIN    8u	   // what is found may be so much too small
#define MTU_TEXT_MAX 80

enum mtu_state { MTU_DONE, MTU_CONFIRM, MTU_SEARCH };

struct mtu {
	enum mtu_state state;
	unsigned ceiling;	 // agreed on
	unsigned current;	 // in use
	unsigned low, high;	 // of the search: low is taken to work, more than high not to
	unsigned probe;		 // size that was asked about and not answered yet; 0: none
	unsigned missed;	 // times that it was not answered, and a small one was
	unsigned lost;		 // size that did not arrive last; 0: none was
	unsigned silent;	 // times in a row that neither was
	uint64_t tried_ms;	 // when it was last sent; 0: not yet
	uint64_t next_ms;	 // when to look again
	uint64_t confirmed_ms;	 // when `current` was last known to arrive
	uint64_t raise_ms;	 // when to try more
	unsigned raise_after_ms; // how long after the next search
};

struct mtu_facts {
	uint64_t small_ms; // when the newest small probe that the peer answered was sent
	uint64_t large_ms; // last inner packet of more than MTU_LEAST bytes sent
	uint64_t rtt_ns;   // 0: not measured yet
};

// Both ends agreed on packets of up to `ceiling` bytes (MTU_BASE or more); also to begin anew.
void mtu_start(struct mtu *mtu, unsigned ceiling, uint64_t now_ms);
// The path is another one: what is in use is asked about, and more where it was less than agreed.
void mtu_moved(struct mtu *mtu, uint64_t now_ms);
// What is due: 0, or the size of a probe to send now, with a small one behind it.
unsigned mtu_tick(struct mtu *mtu, const struct mtu_facts *facts, uint64_t now_ms);
// The peer got a probe of this size.
void mtu_answered(struct mtu *mtu, unsigned size, uint64_t now_ms);
// Whether there is nothing to ask until large packets go; or nobody answers, so that it can wait for a packet of theirs.
bool mtu_rests(const struct mtu *mtu);
// When to tick again at the latest.
uint64_t mtu_deadline(const struct mtu *mtu);
// "as agreed", "found by probing: 1400 did not arrive" ...: why `current` is what it is. Returns `text`.
const char *mtu_reason(const struct mtu *mtu, char text[MTU_TEXT_MAX]);
