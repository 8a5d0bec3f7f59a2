// SPDX-License-Identifier: Apache-2.0
// When a list is fetched that says itself when the next one will be there. No clock, no I/O: wall-clock time and random numbers in,
// the next moment out.
#pragma once

#include <stdint.h>
#include <time.h>

struct refresh {
	unsigned min_s, max_s; // between two looks
	time_t at;	       // the next look
	unsigned failures;     // in a row
	unsigned wait_s;       // the last one after a failure
};

// It was looked at, and there is a list for [this_update, next_update). The next look comes when 50 to 80 % of that time are over; where
// they are over already, after a quarter of what is left. `random` is any number.
void refresh_plan(struct refresh *refresh, time_t this_update, time_t next_update, time_t now,
		  uint64_t random);
// It failed. Waits begin at min_s and double, with jitter, up to an hour or a tenth of what is left until `next_update` (0: there is no
// list): ten tries fit at least. `retry_after_s` (0: none) is what the server said, honoured up to a day; where there is a list, up to
// an hour or three quarters of what is left.
void refresh_failed(struct refresh *refresh, time_t next_update, unsigned retry_after_s, time_t now,
		    uint64_t random);
