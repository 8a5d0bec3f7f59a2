// SPDX-License-Identifier: Apache-2.0
// Which sessions that were at rest have packets again: set by workers, taken by the control thread. A set of numbers, without locks;
// a number that was set twice is taken once.
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#define STIR_SLOTS (1u << 16)

struct stir {
	int fd;		    // eventfd, readable while there is something to take
	unsigned next_word; // the control thread's: where it stopped
	_Atomic uint64_t words[STIR_SLOTS / 64];
};

int stir_init(struct stir *stir); // 0 or -errno
void stir_done(struct stir *stir);

// Any thread. `slot`: 0..STIR_SLOTS - 1.
void stir_set(struct stir *stir, unsigned slot);
// Takes the slots of at most `max` words of 64, in turn. What is left keeps the descriptor readable.
void stir_take(struct stir *stir, unsigned max, void (*each)(unsigned slot, void *data),
	       void *data);
