// SPDX-License-Identifier: Apache-2.0
// What a session does as time goes by: switching and draining of epochs, liveness, MTU, expiry, rest.

#include "base/clock.h"
#include "base/log.h"
#include "tun/dataplane.h"
#include "tun/session_channel.h"
#include "tun/session_control.h"

#define UNSEEN_AGAIN_MS \
	250u // an old epoch that the peer still sends with is looked at again after this

static void retire_drained(struct session *session, uint64_t now_ms)
{
	struct session_control *control = session->control;
	// A peer that never got READY still sends with the old epoch: wait for it to show the new one.
	bool wait = !epoch_seen(control->newest) && now_ms < control->installed_ms + UNSEEN_MAX_MS;
	for (unsigned i = 0; i < SESSION_EPOCHS; i++) {
		if (now_ms < control->retire_ms[i])
			continue;
		const struct epoch *epoch = atomic_load(&session->epochs[i]);
		if (wait) {
			control->retire_ms[i] = now_ms + UNSEEN_AGAIN_MS;
			continue;
		}
		if (epoch == control->previous)
			session_settle_renewal(control);
		session_retire(session, i);
	}
}

// What shows that the path works. To the initiator, that its own packets arrive: what the peer asks on its own says nothing of those.
static uint64_t heard_ms(const struct session *session)
{
	uint64_t answered = session_load(&session->answered_ms);
	uint64_t received = session_load(&session->received_ms);
	if (!session->initiator)
		return session_load(&session->heard_ms);
	return answered > received ? answered : received;
}

static enum session_event follow_liveness(struct session *session, uint64_t now_ms)
{
	struct liveness_facts facts = {
		.heard_ms = heard_ms(session),
		.spoke_ms = session_load(&session->spoke_ms),
		.received_ms = session_load(&session->received_ms),
		.rtt_ns = session_load(&session->rtt_ns),
		.in_channel = session_in_channel(session),
	};
	enum liveness_wish wish = liveness_tick(&session->control->liveness, &facts, now_ms);
	switch (wish) {
	case LIVENESS_NOTHING:
		return SESSION_NOTHING;
	case LIVENESS_PROBE:
	case LIVENESS_DOUBT:
		dataplane_send_link(session->dataplane, session->index, LINK_PROBE);
		return wish == LIVENESS_DOUBT ? SESSION_DOUBT : SESSION_NOTHING;
	case LIVENESS_BLOCKED:
		session_channel_enter(session, now_ms);
		return SESSION_NOTHING;
	case LIVENESS_DEAD:
		return SESSION_DEAD;
	}
	return SESSION_NOTHING;
}

static void follow_mtu(struct session *session, uint64_t now_ms)
{
	struct mtu *mtu = &session->control->mtu;
	char text[MTU_TEXT_MAX];
	struct mtu_facts facts = {
		.small_ms = session_load(&session->mtu_small_ms),
		.large_ms = session_load(&session->large_ms),
		.rtt_ns = session_load(&session->rtt_ns),
	};
	unsigned answered = atomic_exchange(&session->mtu_answered, 0);
	if (answered)
		mtu_answered(mtu, answered, now_ms);
	if (atomic_exchange(&session->moved, false))
		mtu_moved(mtu, now_ms);
	if (session_in_channel(session)) { // TCP carries all sizes
		atomic_store(&session->mtu, mtu->ceiling);
		return;
	}
	unsigned size = mtu_tick(mtu, &facts, now_ms);
	if (size)
		dataplane_probe_mtu(session->dataplane, session->index, size);
	if (atomic_exchange(&session->mtu, mtu->current) != mtu->current)
		log_info("session %s: packets of up to %u bytes (%s)", session->control->name,
			 mtu->current, mtu_reason(mtu, text));
}

bool session_rests(const struct session *session)
{
	const struct session_control *control = session->control;
	if (control->switch_ms != CLOCK_NEVER)
		return false;
	for (unsigned i = 0; i < SESSION_EPOCHS; i++)
		if (control->retire_ms[i] != CLOCK_NEVER)
			return false;
	// In a channel nothing is asked about sizes.
	return liveness_rests(&control->liveness) &&
	       (mtu_rests(&control->mtu) || session_in_channel(session));
}

static uint64_t stirred_ms(const struct session *session)
{
	return session_load(&session->spoke_ms) + session_load(&session->received_ms);
}

static void rest(struct session *session, uint64_t before_ms)
{
	bool rests = session_rests(session);
	atomic_store(&session->resting, rests);
	// A packet that came while this was found out did not see it.
	if (rests && stirred_ms(session) != before_ms)
		session_stir(session);
}

void session_stir(struct session *session)
{
	if (atomic_exchange(&session->resting, false))
		dataplane_stir(session->dataplane, session);
}

void session_set_stirred(struct session *session, void (*stirred)(void *data), void *data)
{
	session->control->stirred = stirred;
	session->control->stirred_data = data;
}

void session_stirred(struct session *session)
{
	if (session->control->stirred)
		session->control->stirred(session->control->stirred_data);
}

enum session_event session_tick(struct session *session, uint64_t now_ms)
{
	struct session_control *control = session->control;
	if (!control->newest)
		return SESSION_NOTHING;
	if (now_ms >= control->switch_ms)
		session_switch(session);
	retire_drained(session, now_ms);
	session_channel_tick(session, now_ms);
	follow_mtu(session, now_ms);
	if (clock_wall() >= session_expires(control))
		return SESSION_EXPIRED;
	if (epoch_must_close(control->newest))
		return SESSION_KEYS;
	if (!control->rekey_said && epoch_wants_rekey(control->newest)) {
		control->rekey_said = true;
		return SESSION_REKEY;
	}
	uint64_t before_ms = stirred_ms(session);
	enum session_event event = follow_liveness(session, now_ms);
	if (event != SESSION_DEAD)
		rest(session, before_ms);
	return event;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t session_deadline(const struct session *session)
{
	const struct session_control *control = session->control;
	uint64_t now_ms = clock_ms();
	uint64_t next = liveness_deadline(&control->liveness, now_ms);
	if (!control->newest)
		return CLOCK_NEVER;
	next = earlier(next, control->switch_ms);
	next = earlier(next, session_channel_deadline(session, now_ms));
	if (!session_rests(session) && !session_in_channel(session))
		next = earlier(next, mtu_deadline(&control->mtu));
	for (unsigned i = 0; i < SESSION_EPOCHS; i++)
		next = earlier(next, control->retire_ms[i]);
	int64_t left_s = (int64_t)(session_expires(control) - clock_wall());
	next = earlier(next, now_ms + (left_s > 0 ? (uint64_t)left_s * 1000 : 0));
	return next;
}
