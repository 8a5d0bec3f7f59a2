// SPDX-License-Identifier: Apache-2.0
// When the initiator of a session whose packets go in the channel asks whether UDP gets through again. No I/O and no clock: facts and
// `now` in, a wish and the next deadline out. Times are monotonic milliseconds.
//
// That UDP does not get through is tun/liveness.h's to say. It is asked soon at first, then less and less often; where it was found
// to get through and then did not for long, as seldom as before.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define DETOUR_ASK_MIN_MS 2000u
#define DETOUR_ASK_MAX_MS 60000u
#define DETOUR_LOOK_MS	  100u	 // after a question, for its answer: at first,
#define DETOUR_LOOK_TIMES 20u	 // and so many times in all
#define DETOUR_SETTLED_MS 60000u // who was back for less begins where it was

struct detour {
	bool taken;	    // packets go in the channel
	uint64_t ask_ms;    // when to ask next
	uint64_t wait_ms;   // after that question
	uint64_t look_ms;   // when to look for an answer; CLOCK_NEVER: none is awaited
	unsigned looks;	    // since the question
	uint64_t back_ms;   // when it was left last; 0: never
	uint64_t lasted_ms; // wait_ms then
};

enum detour_wish { DETOUR_NOTHING, DETOUR_ASK, DETOUR_BACK };

// UDP is blocked: packets go in the channel from now on.
void detour_take(struct detour *detour, uint64_t now_ms);
// What is due. DETOUR_ASK: ask over UDP, once. DETOUR_BACK, where that was `answered`: packets go over UDP from now on.
enum detour_wish detour_tick(struct detour *detour, bool answered, uint64_t now_ms);
// The network is another one: ask at once, and often again. Nothing where it is not taken.
void detour_moved(struct detour *detour, uint64_t now_ms);
// When to tick again at the latest; CLOCK_NEVER where it is not taken.
uint64_t detour_deadline(const struct detour *detour);
