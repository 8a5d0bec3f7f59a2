// SPDX-License-Identifier: Apache-2.0
// Time. Monotonic time counts through suspend (CLOCK_BOOTTIME), so that a laptop that slept notices.
#pragma once

#include <stdint.h>
#include <time.h>

#define CLOCK_NEVER UINT64_MAX // a deadline that never comes

// Monotonic milliseconds and nanoseconds since boot.
uint64_t clock_ms(void);
uint64_t clock_ns(void);

// Wall-clock seconds, for certificates and for people.
time_t clock_wall(void);
// The same in milliseconds, for comparisons with the monotonic one.
int64_t clock_wall_ms(void);

// Midnight before this programme was built: a wall clock that says less is wrong.
time_t clock_built(void);

// Writes `seconds` as words for people, such as "3 days" or "4 min"; the largest unit alone. Returns `text`.
const char *clock_words(int64_t seconds, char *text, size_t size);

// Tests only: from now on the wall clock stands at `wall` (0: the real one again).
void clock_set_wall(time_t wall);
