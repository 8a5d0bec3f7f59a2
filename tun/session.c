// SPDX-License-Identifier: Apache-2.0

#include "tun/session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <openssl/rand.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rcu.h"
#include "pki/credential.h"
#include "pki/tls.h"
#include "pki/verify.h"
#include "tun/channel.h"
#include "tun/dataplane.h"
#include "tun/guard.h"
#include "tun/path.h"
#include "tun/session_control.h"

static char *make_name(const char *identity, const uint8_t *id)
{
	char *name;
	int n = asprintf(&name, "%s (%02x%02x%02x%02x)", identity, id[0], id[1], id[2], id[3]);
	return n < 0 ? NULL : name;
}

static int control_new(bool initiator, const char *identity, const uint8_t *id,
		       unsigned keepalive_s, struct session_control **ret)
{
	struct session_control *control = calloc(1, sizeof(*control));
	if (!control)
		return -ENOMEM;
	control->name = make_name(identity, id);
	if (!control->name) {
		free(control);
		return -ENOMEM;
	}
	control->liveness = (struct liveness){
		.initiator = initiator,
		.keepalive_ms = keepalive_s * 1000ull,
		.channel_heard_ms = clock_ms(),
	};
	control->switch_ms = CLOCK_NEVER;
	control->waiting_end = &control->waiting;
	for (unsigned i = 0; i < SESSION_EPOCHS; i++)
		control->retire_ms[i] = CLOCK_NEVER;
	*ret = control;
	return 0;
}

int session_new(struct dataplane *dataplane, bool initiator, const char *identity,
		const uint8_t *id, unsigned keepalive_s, struct session **ret)
{
	_cleanup_(session_freep) struct session *session = calloc(1, sizeof(*session));
	if (!session)
		return -ENOMEM;
	session->initiator = initiator;
	session->identity = strdup(identity);
	if (!session->identity)
		return -ENOMEM;
	if (id)
		memcpy(session->id, id, SESSION_ID_SIZE);
	else if (RAND_bytes_ex(tls_library(), session->id, SESSION_ID_SIZE, 0) != 1)
		return -EIO;
	int r = control_new(initiator, identity, session->id, keepalive_s, &session->control);
	if (r < 0)
		return r;
	r = guard_admit(dataplane_guard(dataplane), identity, initiator, &session->subject);
	if (r < 0)
		return r;
	r = dataplane_add_session(dataplane, session);
	if (r < 0) {
		guard_leave(dataplane_guard(dataplane), session->subject);
		return r;
	}
	session->dataplane = dataplane;
	*ret = take(session);
	return 0;
}

// Whether it was sent with.
static bool stop_sending(struct session *session, struct epoch *epoch)
{
	return atomic_compare_exchange_strong(&session->tx, &epoch, NULL);
}

void session_retire(struct session *session, unsigned slot)
{
	struct session_control *control = session->control;
	struct epoch *epoch = atomic_exchange(&session->epochs[slot], NULL);
	control->retire_ms[slot] = CLOCK_NEVER;
	if (!epoch)
		epoch = take(control->cut[slot]);
	if (!epoch)
		return;
	stop_sending(session, epoch);
	rcu_wait();
	// A worker that had it in hand may have switched to it since: look again, now that nobody can.
	if (stop_sending(session, epoch))
		rcu_wait();
	session_add_totals(&control->retired, epoch);
	if (control->previous == epoch)
		control->previous = NULL;
	if (control->newest == epoch)
		control->newest = NULL;
	epoch_free(epoch);
}

void session_cut(struct session *session)
{
	struct session_control *control = session->control;
	atomic_store(&session->tx, NULL);
	for (unsigned i = 0; i < SESSION_EPOCHS; i++) {
		struct epoch *epoch = atomic_exchange(&session->epochs[i], NULL);
		if (epoch)
			control->cut[i] = epoch;
	}
	control->newest = control->previous = NULL;
	control->switch_ms = CLOCK_NEVER;
}

struct session *session_free(struct session *session)
{
	if (!session)
		return NULL;
	if (session->control) {
		for (unsigned i = 0; i < SESSION_EPOCHS; i++)
			session_retire(session, i);
	}
	if (session->dataplane) {
		struct routes *routes = dataplane_routes(session->dataplane);
		routes_remove(routes, session, NULL, 0);
		dataplane_remove_session(session->dataplane, session);
		rcu_wait();
		guard_leave(dataplane_guard(session->dataplane), session->subject);
	}
	if (session->control && session->dataplane)
		session_channel_done(session);
	for (unsigned i = 0; i < PACKET_LANES_MAX; i++)
		free(atomic_load(&session->paths[i]));
	free(atomic_load(&session->udp));
	free(atomic_load(&session->known));
	free(atomic_load(&session->translations));
	if (session->control) {
		verdict_put(session->control->verdict);
		credential_put(session->control->own);
		free(session->control->name);
	}
	free(session->control);
	free(session->identity);
	free(session);
	return NULL;
}

void session_restart(struct session *session, const uint8_t *id, unsigned keepalive_s)
{
	struct session_control *control = session->control;
	char *name = make_name(session->identity, id);
	for (unsigned i = 0; i < SESSION_EPOCHS; i++)
		session_retire(session, i);
	memcpy(session->id, id, SESSION_ID_SIZE);
	control->liveness.keepalive_ms = keepalive_s * 1000ull;
	control->liveness.probing_since_ms = 0;
	control->renewal = (struct session_renewal){0};
	if (name) {
		free(control->name);
		control->name = name;
	}
}

static int derive(const struct session *session, struct channel *channel,
		  const struct session_keys *keys, struct epoch **ret)
{
	struct epoch_options options = {
		.number = keys->epoch,
		.cipher = keys->cipher,
		.initiator = session->initiator,
		.remote_index = keys->remote_index,
		.peer_lanes = keys->peer_lanes,
		.workers = dataplane_arrival_workers(session->dataplane, session->initiator),
	};
	return epoch_derive(&options, channel, session->id, ret);
}

static uint64_t drain_ms(const struct session *session)
{
	uint64_t drain = 3 * session_load(&session->rtt_ns) / 1000000 + DRAIN_MIN_MS;
	return drain < DRAIN_MAX_MS ? drain : DRAIN_MAX_MS;
}

void session_settle_renewal(struct session_control *control)
{
	if (!control->previous || control->renewal.complete)
		return;
	control->renewal.lost = epoch_lost(control->previous, &control->mark, control->peer_sent,
					   control->peer_sent_count) +
				epoch_lost(control->newest, NULL, NULL, 0);
	control->renewals_lost += control->renewal.lost;
	control->renewal.complete = true;
}

static void begin_renewal(struct session *session, const char *reason, uint64_t now_ms)
{
	struct session_control *control = session->control;
	session_settle_renewal(control);
	control->previous = control->newest;
	control->peer_sent_count = 0;
	if (!control->previous)
		return;
	epoch_mark(control->previous, &control->mark);
	control->retire_ms[control->previous->options.number % SESSION_EPOCHS] =
		now_ms + drain_ms(session);
	control->renewals++;
	control->renewal = (struct session_renewal){.at_ms = now_ms};
	snprintf(control->renewal.reason, sizeof(control->renewal.reason), "%s", reason);
}

static void set_own(struct session *session, struct credential *credential)
{
	struct credential *old = session->control->own;
	session->control->own = credential_get(credential);
	credential_put(old);
}

int session_install(struct session *session, struct channel *channel,
		    const struct session_keys *keys, uint64_t now_ms)
{
	struct session_control *control = session->control;
	struct epoch *epoch;
	if (control->newest && keys->epoch <= control->newest->options.number)
		return -EINVAL;
	int r = derive(session, channel, keys, &epoch);
	if (r < 0)
		return r;
	// What it is judged by comes first.
	r = session_set_verdict(session, channel_verdict(channel));
	if (r < 0) {
		epoch_free(epoch);
		return r;
	}
	unsigned slot = keys->epoch % SESSION_EPOCHS;
	session_retire(session, slot);
	begin_renewal(session, keys->reason, now_ms);
	control->newest = epoch;
	control->installed_ms = now_ms;
	control->retire_ms[slot] = CLOCK_NEVER;
	control->rekey_said = false;
	if (keys->mtu != control->mtu.ceiling)
		mtu_start(&control->mtu, keys->mtu, now_ms);
	atomic_store(&session->mtu, control->mtu.current);
	atomic_store(&session->epochs[slot], epoch);

	set_own(session, tls_context_credential(channel_context(channel)));
	snprintf(control->group, sizeof(control->group), "%s", channel_group(channel));
	if (session->initiator)
		session_switch(session);
	else
		control->switch_ms = now_ms + SWITCH_AFTER_MS;
	return 0;
}

void session_switch(struct session *session)
{
	struct session_control *control = session->control;
	control->switch_ms = CLOCK_NEVER;
	if (!control->newest || atomic_exchange(&session->tx, control->newest) == control->newest)
		return;
	rcu_wait(); // the counters of the epoch before are final from here on
}

uint32_t session_newest_epoch(const struct session *session)
{
	const struct epoch *newest = session->control->newest;
	return newest ? newest->options.number : 0;
}

unsigned session_sent(const struct session *session, uint64_t sent[PACKET_LANES_MAX])
{
	const struct epoch *previous = session->control->previous;
	return previous ? epoch_sent(previous, sent) : 0;
}

void session_peer_sent(struct session *session, const uint64_t *sent, unsigned count)
{
	struct session_control *control = session->control;
	if (!control->previous)
		return;
	memcpy(control->peer_sent, sent, count * sizeof(*sent));
	control->peer_sent_count = count;
}

void session_set_known_address(struct session *session, const struct addr *addr)
{
	struct addr *copy = malloc(sizeof(*copy));
	if (copy)
		*copy = *addr;
	struct addr *old = atomic_exchange(&session->known, copy);
	if (!old)
		return;
	rcu_wait();
	free(old);
}

bool session_knows_address(const struct session *session, const struct addr *addr)
{
	const struct addr *known = atomic_load_explicit(&session->known, memory_order_acquire);
	return known && addr_equal(known, addr);
}

void session_probe(struct session *session, uint64_t now_ms)
{
	liveness_probing(&session->control->liveness, now_ms);
	detour_moved(&session->control->detour, now_ms);
	mtu_moved(&session->control->mtu, now_ms);
	dataplane_send_link(session->dataplane, session->index, LINK_PROBE);
}

void session_heard(struct session *session, uint64_t now_ms)
{
	session->control->liveness.channel_heard_ms = now_ms;
}

int session_set_verdict(struct session *session, struct verdict *verdict)
{
	struct verdict *old = session->control->verdict;
	int r = verdict_same_leaf(verdict, old)
			? 0
			: guard_set_facts(dataplane_guard(session->dataplane), session->subject,
					  verdict_leaf(verdict));
	if (r < 0)
		return r;
	session->control->verdict = verdict_get(verdict);
	verdict_put(old);
	return 0;
}

const struct credential *session_own(const struct session *session)
{
	return session->control->own;
}

struct verdict *session_verdict(const struct session *session)
{
	return session->control->verdict;
}

const char *session_name(const struct session *session)
{
	return session->control->name;
}
