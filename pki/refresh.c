// SPDX-License-Identifier: Apache-2.0

#include "pki/refresh.h"

#define FAILED_MAX_S 3600
#define RETRY_MAX_S  86400u

static int64_t within(int64_t value, int64_t least, int64_t most)
{
	if (value > most)
		value = most;
	return value < least ? least : value;
}

void refresh_plan(struct refresh *refresh, time_t this_update, time_t next_update, time_t now,
		  uint64_t random)
{
	int64_t life = next_update - this_update;
	int64_t at = this_update + life / 2 + (int64_t)(random % 1000) * (life * 3 / 10) / 1000;
	int64_t wait = at - now;

	if (wait <= 0)
		wait = (next_update - now) / 4;
	refresh->failures = 0;
	refresh->wait_s = 0;
	refresh->at = now + within(wait, refresh->min_s, refresh->max_s);
}

void refresh_failed(struct refresh *refresh, time_t next_update, unsigned retry_after_s, time_t now,
		    uint64_t random)
{
	int64_t most = FAILED_MAX_S;
	int64_t wait = refresh->wait_s ? (int64_t)refresh->wait_s * 2 : refresh->min_s;

	if (next_update > now)
		most = within((next_update - now) / 10, refresh->min_s, FAILED_MAX_S);
	wait = within(wait, refresh->min_s, within(most, refresh->min_s, refresh->max_s));
	refresh->wait_s = (unsigned)wait;
	refresh->failures++;
	// A quarter less or not: machines that lost a server together do not come back together.
	wait -= (int64_t)(random % 1000) * (wait / 4) / 1000;
	// Over plain HTTP anybody may have said it: there is time for another look.
	most = next_update ? within((next_update - now) * 3 / 4, FAILED_MAX_S, RETRY_MAX_S)
			   : RETRY_MAX_S;
	if (retry_after_s > most)
		retry_after_s = (unsigned)most;
	refresh->at = now + (wait > retry_after_s ? wait : retry_after_s);
	if (refresh->at <= now)
		refresh->at = now + 1;
}
