// SPDX-License-Identifier: Apache-2.0
// Replay window of one lane (RFC 6479: a ring of words, so that moving it forward shifts nothing). One writer.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tun/packet.h"

// One word more than the window, so that the word being filled never holds counters still inside it.
#define WINDOW_WORDS (WINDOW_BITS / 64 + 1)

struct window {
	uint64_t highest; // highest counter set; 0 before the first
	uint64_t words[WINDOW_WORDS];
};

// Whether the counter is new and inside the window; changes nothing. Counter 0 never is.
bool window_check(const struct window *window, uint64_t counter);
// Marks an authenticated counter that window_check() let pass.
void window_set(struct window *window, uint64_t counter);
