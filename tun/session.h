// SPDX-License-Identifier: Apache-2.0
// The lasting relation with a peer: identity, epochs, paths, counters, deadlines. It outlives its channels.
//
// Threads: the control thread makes, changes and frees sessions; workers find them through the data plane under RCU. Each
// field says who writes it. "published" fields are atomic pointers that the control thread swaps; what they pointed to is
// freed after a grace period.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "tun/datagram.h"
#include "tun/epoch.h"
#include "tun/limit.h"
#include "tun/message.h"
#include "tun/packet.h"
#include "tun/mtu.h"

struct channel;
struct credential;
struct dataplane;
struct route;
struct path;
struct subject;
struct translations;
struct verdict;

#define SESSION_EPOCHS 8u // live at once, by number & 7

// Whether runs of datagrams that leave in one piece arrive: tun/probe.c asks.
struct session_batch {
	_Atomic uint64_t next_ms;  // when to ask or judge again
	_Atomic unsigned answered; // bits by number of the probes of this round
	_Atomic unsigned missed;   // rounds in a row of which only the single ones arrived
	_Atomic bool asked;
};

struct session {
	// Written before publication.
	struct dataplane *dataplane;
	bool initiator;
	uint8_t id[SESSION_ID_SIZE];
	uint32_t index; // packets to us carry it
	char *identity;
	struct subject *subject; // what it is judged as

	// Published by the control thread. A worker of the responder also moves `tx` on when the peer shows the new epoch.
	_Atomic(struct epoch *) epochs[SESSION_EPOCHS];
	_Atomic(struct epoch *) tx;
	_Atomic unsigned mtu; // largest inner packet to send, as found by tun/mtu.h

	// Written by the worker that opens the lane, and by the control thread.
	_Atomic(struct path *) paths[PACKET_LANES_MAX]; // by the peer's lane
	_Atomic unsigned newest_lane;			// whose path was set last
	_Atomic(struct addr *) known; // where the peer's TLS connection comes from
	_Atomic(struct path *)
		udp; // asked about while packets go in the channel; NULL: not, or its answer is the peer's to find
	_Atomic size_t channel_bytes; // that wait for the channel (tun/outlet.h)

	_Atomic(struct translations *) translations; // published; NULL: none
	struct limit to_peer, from_peer;	     // rates: the control thread's

	// Written by workers.
	struct datagram_way way;
	struct session_batch batch;
	_Atomic uint64_t heard_ms;     // last authenticated packet
	_Atomic uint64_t answered_ms;  // last answer to what was asked
	_Atomic uint64_t spoke_ms;     // last inner packet sent
	_Atomic uint64_t received_ms;  // last inner packet that came
	_Atomic uint64_t large_ms;     // last inner packet of more than MTU_LEAST bytes sent
	_Atomic unsigned mtu_answered; // size of a probe that the peer got; 0: taken note of
	_Atomic uint64_t mtu_small_ms; // when the newest small probe beside one left that it got
	_Atomic bool moved;	       // a path changed; false: taken note of
	_Atomic uint64_t rtt_ns;       // 0: not measured yet
	_Atomic uint64_t drops[DROP_LAST + 1];

	// Set by the control thread; the worker that has the first inner packet after that clears it, and says so.
	_Atomic bool resting;

	struct route *routes;		 // the control thread's, and tun/route.c's alone
	struct session_control *control; // the control thread's own
};

enum session_event {
	SESSION_NOTHING,
	SESSION_DOUBT,	 // a probe was not answered: ask in the channel whether that lives
	SESSION_REKEY,	 // usage limit near: prove again soon
	SESSION_DEAD,	 // the peer does not answer
	SESSION_EXPIRED, // a certificate's time is over
	SESSION_KEYS,	 // too many forged packets: close
};

struct session_renewal {
	uint64_t at_ms; // monotonic; 0: none yet
	char reason[MESSAGE_TEXT_MAX];
	bool complete; // the old epoch has drained, so that `lost` is final
	uint64_t lost; // packets of the peer
};

struct session_status {
	struct epoch_totals totals;
	uint32_t epoch; // that is sent with; 0: none
	enum cipher cipher;
	const char *group; // key exchange of the channel; borrowed until the next session_install()
	uint64_t rtt_ns;
	unsigned mtu; // and why
	char mtu_reason[MTU_TEXT_MAX];
	bool has_path;
	bool in_channel; // the path is the channel, not UDP
	uint64_t
		udp_ask_ms; // of an initiator: when it asks next whether UDP gets through; CLOCK_NEVER: its packets go over UDP
	struct endpoint endpoint; // of the peer; AF_UNSPEC: there is no channel just now
	bool singly;		  // see struct datagram_way
	unsigned renewals;
	uint64_t renewals_lost; // packets of the peer, in all of them
	struct session_renewal renewal;
	time_t expires;
	const struct verdict *verdict; // borrowed, likewise
	uint64_t drops[DROP_LAST + 1];
};

// A new session with the peer of `identity` (copied), without keys; published in the data plane's index. `id` NULL: chosen at
// random. -ENOSPC: no index left. `keepalive_s`: 1..3600.
int session_new(struct dataplane *dataplane, bool initiator, const char *identity,
		const uint8_t *id, unsigned keepalive_s, struct session **ret);
// Keys first, then routes and index; waits for the workers. Takes NULL, returns NULL.
struct session *session_free(struct session *session);
DEFINE_CLEANUP(struct session *, session_free);

// From now on no packet is opened or sealed, but for those that a worker has in hand: the peer is not to be trusted any more. Does not
// wait; only session_free() follows.
void session_cut(struct session *session);

// The peer gave the session a new id (it does not know the old one): all epochs go, counters, index and routes stay.
void session_restart(struct session *session, const uint8_t *id, unsigned keepalive_s);

struct session_keys {
	uint32_t epoch;
	enum cipher cipher;
	uint32_t remote_index;
	unsigned peer_lanes;
	unsigned mtu;
	const char *reason; // of a renewal, for people; copied
};

// Derives the epoch from an open channel and installs its receive keys; from then on the session belongs to what the channel
// proved (verdict, expiry). The initiator sends with it at once; the responder when it opens the first packet of it, or
// after SWITCH_AFTER_MS. -EINVAL: the epoch is not newer than all before; -EPROTO, -ENOMEM.
int session_install(struct session *session, struct channel *channel,
		    const struct session_keys *keys, uint64_t now_ms);
// Send with the newest epoch from now on.
void session_switch(struct session *session);
uint32_t session_newest_epoch(const struct session *session); // 0: none
// What was sent in the epoch before the newest, for BYE; returns the number of lanes. Call after session_switch().
unsigned session_sent(const struct session *session, uint64_t sent[PACKET_LANES_MAX]);
// What the peer says it sent in the epoch before the newest.
void session_peer_sent(struct session *session, const uint64_t *sent, unsigned count);

// Where to send, for all lanes: the peer proved over TLS that it is there.
void session_set_path(struct session *session, const struct datagram_peer *peer);
// The address that the peer's TLS connection comes from: a UDP path from there counts as confirmed at once.
void session_set_known_address(struct session *session, const struct addr *addr);
bool session_knows_address(const struct session *session, const struct addr *addr);
// Bits per second in each direction; 0: no limit.
void session_set_rate(struct session *session, uint64_t rate);
// The largest inner packet that both ends agreed on is another one now.
void session_set_mtu(struct session *session, unsigned mtu, uint64_t now_ms);
// What is translated of the peer's prefixes; takes it. NULL: nothing.
void session_set_translations(struct session *session, struct translations *translations);
// Ask the peer for a sign of life now; every worker does, so that every lane's path is open.
void session_probe(struct session *session, uint64_t now_ms);
// The channel heard from the peer: it lives, whatever the data path does.
void session_heard(struct session *session, uint64_t now_ms);
// The old proof was judged again. -ENOMEM: nothing changed; not of the certificate that was known already.
int session_set_verdict(struct session *session, struct verdict *verdict);

// Does what is due; one event per call, SESSION_NOTHING when all is done. A session without inner packets comes to rest: then the
// deadline may be a minute away, and `stirred` is called, on the control thread, when there are packets again: tick then.
enum session_event session_tick(struct session *session, uint64_t now_ms);
uint64_t session_deadline(const struct session *session);
bool session_rests(const struct session *session);
void session_set_stirred(struct session *session, void (*stirred)(void *data), void *data);
void session_stirred(struct session *session); // for dataplane.c
void session_status(const struct session *session, struct session_status *ret);
// What this node showed in the newest channel, and the peer accepted. As above.
const struct credential *session_own(const struct session *session);
struct verdict *
session_verdict(const struct session *session); // borrowed; NULL before the first epoch

// "spiffe://corp.example/laptop/alice (3f9a1c02)": the way a session is always named in the log. Borrowed.
const char *session_name(const struct session *session);

void session_stir(struct session *session); // for session_note() alone

// Workers: an inner packet went or came; `what` is one of the times above. The control thread may miss the first packet of
// those that stir a session, if the other CPU has not seen yet that it rests; the next one is not missed.
static inline void session_note(struct session *session, _Atomic uint64_t *what, uint64_t now_ms)
{
	atomic_store_explicit(what, now_ms, memory_order_relaxed);
	if (atomic_load_explicit(&session->resting, memory_order_relaxed))
		session_stir(session);
}

static inline void session_count_drop(struct session *session, enum drop drop)
{
	atomic_fetch_add_explicit(&session->drops[drop], 1, memory_order_relaxed);
}
