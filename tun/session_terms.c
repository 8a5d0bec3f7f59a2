// SPDX-License-Identifier: Apache-2.0
// The terms of a session that the gateway's configuration sets, and may change while it lives.

#include <string.h>

#include "base/rcu.h"
#include "tun/session_control.h"
#include "tun/translate.h"

void session_set_rate(struct session *session, uint64_t rate)
{
	atomic_store(&session->to_peer.rate, rate);
	atomic_store(&session->from_peer.rate, rate);
}

void session_set_mtu(struct session *session, unsigned mtu, uint64_t now_ms)
{
	struct mtu *own = &session->control->mtu;
	if (!session->control->newest || own->ceiling == mtu)
		return;
	mtu_start(own, mtu, now_ms);
	atomic_store(&session->mtu, own->current);
}

static bool same(const struct translations *a, const struct translations *b)
{
	if (!a || !b)
		return a == b;
	return a->count == b->count && memcmp(a->list, b->list, a->count * sizeof(a->list[0])) == 0;
}

void session_set_translations(struct session *session, struct translations *translations)
{
	if (same(atomic_load(&session->translations), translations)) {
		free(translations);
		return;
	}
	struct translations *old = atomic_exchange(&session->translations, translations);
	if (!old)
		return;
	rcu_wait();
	free(old);
}
