// SPDX-License-Identifier: Apache-2.0

#include "tun/backlog.h"

void backlog_empty(struct backlog *backlog, uint64_t now_ns)
{
	backlog->busy = false;
	backlog->empty_ns = now_ns;
	backlog->next_ns = 0;
	backlog->told = 0;
}

static uint64_t interval(uint64_t rtt_ns)
{
	if (rtt_ns < BACKLOG_INTERVAL_MIN_NS)
		return BACKLOG_INTERVAL_MIN_NS;
	return rtt_ns < BACKLOG_INTERVAL_MAX_NS ? rtt_ns : BACKLOG_INTERVAL_MAX_NS;
}

static unsigned square_root(unsigned n)
{
	unsigned root = 1;
	while ((root + 1) * (root + 1) <= n && root < UINT16_MAX)
		root++;
	return root;
}

bool backlog_tell(struct backlog *backlog, uint64_t rtt_ns, uint64_t now_ns)
{
	uint64_t wait = interval(rtt_ns);
	// However long ago that was seen: it has been empty until now.
	if (!backlog->busy)
		backlog->empty_ns = now_ns;
	backlog->busy = true;
	if (now_ns < backlog->empty_ns + wait || now_ns < backlog->next_ns)
		return false;
	backlog->told++;
	backlog->next_ns = now_ns + wait / square_root(backlog->told);
	return true;
}
