// SPDX-License-Identifier: Apache-2.0
// What a test cost, where it has a budget: of the processor, so that it does not matter what else the machine does meanwhile.
#pragma once

#include <stdint.h>
#include <time.h>

// Milliseconds, of all threads of this process so far.
static inline uint64_t spent_ms(void)
{
	struct timespec spent;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
	return (uint64_t)spent.tv_sec * 1000 + (uint64_t)spent.tv_nsec / 1000000;
}
