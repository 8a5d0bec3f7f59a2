// SPDX-License-Identifier: Apache-2.0
// What the control thread alone knows of a session. For session*.c and nobody else.
#pragma once

#include "pki/credential.h"
#include "pki/verify.h"
#include "tun/backlog.h"
#include "tun/detour.h"
#include "tun/liveness.h"
#include "tun/mtu.h"
#include "tun/session.h"

struct connection;
struct parcel;

struct session_control {
	char *name;
	struct liveness liveness;
	struct mtu mtu;
	struct verdict *verdict;
	struct credential *own; // shown in the newest channel; NULL before it
	char group[32];
	struct epoch *newest;
	struct epoch *previous;		      // drains; NULL once it has
	struct epoch *cut[SESSION_EPOCHS];    // out of sight, not waited for yet
	struct epoch_mark mark;		      // of the previous, when the newest came
	uint64_t peer_sent[PACKET_LANES_MAX]; // of the previous, as the peer says
	unsigned peer_sent_count;
	uint64_t installed_ms;
	uint64_t retire_ms[SESSION_EPOCHS]; // CLOCK_NEVER: not due
	uint64_t switch_ms;		    // CLOCK_NEVER: done
	struct epoch_totals retired;	    // of epochs that are gone
	struct session_renewal renewal;
	unsigned renewals;
	uint64_t renewals_lost;
	bool rekey_said;
	void (*stirred)(void *data); // NULL: nobody listens
	void *stirred_data;
	struct connection *const *channel; // NULL: the owner has none
	struct parcel *waiting;		   // for it, oldest first
	struct parcel **waiting_end;
	struct backlog backlog;	       // of those
	struct detour detour;	       // the initiator's
	struct datagram_peer udp_peer; // over UDP, where the initiator's packets go or would
	bool in_channel;	       // of a responder: what was said of it last
};

// The other half of tun/session_channel.h: packets go in the channel from now on; what is due; all that waits is forgotten.
void session_channel_enter(struct session *session, uint64_t now_ms);
void session_channel_tick(struct session *session, uint64_t now_ms);
uint64_t session_channel_deadline(const struct session *session, uint64_t now_ms);
void session_channel_done(struct session *session);

// Takes an epoch out of sight, waits for the workers, keeps its counts.
void session_retire(struct session *session, unsigned slot);
// The renewal before has drained, or another one comes already: what was lost in it is known now.
void session_settle_renewal(struct session_control *control);

static inline uint64_t session_load(const _Atomic uint64_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

static inline void session_add_totals(struct epoch_totals *to, const struct epoch *epoch)
{
	if (epoch)
		epoch_add_totals(epoch, to);
}

// When the first certificate of either chain expires.
time_t session_expires(const struct session_control *control);
