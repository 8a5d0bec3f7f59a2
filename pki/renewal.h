// SPDX-License-Identifier: Apache-2.0
// When a certificate is renewed, and when it is tried again. No clock, no I/O: wall-clock time and random numbers in, the next
// moment out.
#pragma once

#include <stdint.h>
#include <time.h>

enum renewal_failure {
	RENEWAL_UNREACHABLE, // nobody answered, or not with what was asked for
	RENEWAL_REFUSED,     // the CA says no: asking more often does not help
	RENEWAL_LATER,	     // the CA says when to come back
};

// How near the end is: each is worth a line in the log.
enum renewal_alarm {
	RENEWAL_FINE,
	RENEWAL_QUARTER, // less than 25 % of the life is left
	RENEWAL_TENTH,	 // less than 10 %
	RENEWAL_HOUR,	 // less than an hour, of a life of more than ten
	RENEWAL_EXPIRED,
};

struct renewal {
	time_t from, to;   // of the certificate; a short one counts from when it was first seen
	time_t at;	   // the next attempt
	unsigned failures; // in a row
	uint64_t wait_s;   // the last one
};

// A new certificate. The moment is chosen once: anywhere between 60 % and 75 % of its life, so that machines that got theirs
// together do not come back together; of less than an hour, between 45 % and 55 %. `random` is any number.
void renewal_plan(struct renewal *renewal, time_t not_before, time_t not_after, time_t now,
		  uint64_t random);
// The attempt failed. Decorrelated jitter from 5 s (60 s where refused) up to an hour or a tenth of what is left: ten attempts
// fit at least. `retry_after_s` (0: none) is what the CA said, honoured up to a day, and to three quarters
// of what is left.
void renewal_failed(struct renewal *renewal, enum renewal_failure why, uint64_t retry_after_s,
		    time_t now, uint64_t random);
// The clock was set. A moment chosen by renewal_plan() stays; a wait between attempts gets no longer by it, and is cut to what
// is left of the certificate now.
void renewal_stepped(struct renewal *renewal, time_t now);
enum renewal_alarm renewal_alarm(const struct renewal *renewal, time_t now);
const char *renewal_alarm_name(enum renewal_alarm alarm); // "fine", "quarter", ...
