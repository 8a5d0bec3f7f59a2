// SPDX-License-Identifier: Apache-2.0

#include "tun/terms.h"

#include <netinet/in.h>

#include "base/clock.h"
#include "tun/cut.h"
#include "tun/inner.h"
#include "tun/session.h"
#include "tun/translate.h"

static const struct translations *translations_of(const struct session *session)
{
	return atomic_load_explicit(&session->translations, memory_order_acquire);
}

static enum limit_verdict ask(struct session *session, struct limit *limit, size_t size, bool tcp)
{
	uint64_t rtt = atomic_load_explicit(&session->rtt_ns, memory_order_relaxed);
	return limit_take(limit, size, tcp, rtt, clock_ns());
}

enum drop terms_arrive(struct session *session, uint8_t *packet, size_t size, struct inner *inner,
		       bool partial)
{
	const struct translations *translations = translations_of(session);
	if (translations)
		translate_from_site(translations, packet, size, inner, partial);
	if (!limit_is_set(&session->from_peer))
		return DROP_NONE;
	switch (ask(session, &session->from_peer, size, inner->protocol == IPPROTO_TCP)) {
	case LIMIT_PASS:
		return DROP_NONE;
	case LIMIT_TELL:
		return inner_fold_ecn(packet, ECN_CE) ? DROP_NONE : DROP_RATE;
	case LIMIT_DROP:
		break;
	}
	return DROP_RATE;
}

static bool is_tcp(const uint8_t *packet)
{
	return (packet[0] >> 4 == 4 ? packet[9] : packet[6]) == IPPROTO_TCP;
}

static enum drop slow_down(struct session *session, struct cut *cut, bool *ret_one)
{
	switch (ask(session, &session->to_peer, cut->size, is_tcp(cut->packet))) {
	case LIMIT_PASS:
		return DROP_NONE;
	case LIMIT_TELL:
		*ret_one = true;
		return inner_fold_ecn(cut->packet, ECN_CE) ? DROP_NONE : DROP_RATE;
	case LIMIT_DROP:
		break;
	}
	*ret_one = false;
	return DROP_RATE;
}

enum drop terms_leave(struct session *session, struct cut *cut, bool *ret_one)
{
	const struct translations *translations = translations_of(session);
	bool limited = limit_is_set(&session->to_peer);
	enum drop drop = DROP_NONE;
	struct inner inner;
	if (!translations && !limited)
		return DROP_NONE;
	if (translations && inner_parse(cut->packet, cut->size, &inner) == DROP_NONE)
		translate_to_site(translations, cut->packet, cut->size, &inner, cut->partial);
	if (limited)
		drop = slow_down(session, cut, ret_one);
	cut_refresh(cut);
	return drop;
}
