// SPDX-License-Identifier: Apache-2.0
// One generation of data keys, exported from one channel: the sending lanes of this node's workers and the receiving lanes
// of the peer's. No I/O, no clock.
//
// Threads: the control thread makes and frees epochs. A sending lane belongs to the worker of its number. A receiving lane
// belongs to the worker where its packets arrive: by its number where that is known, else the one that first opened a packet of
// it; others hand its packets over. So counters and windows have one
// writer each; what others read is atomic. Keys of a lane are derived when it is first used.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "tun/seal.h"
#include "tun/window.h"

struct channel;

struct lane_tx {
	struct seal *seal;
	_Atomic uint64_t counter; // of the last packet sealed: all packets, link messages too
	_Atomic uint64_t blocks;
	_Atomic uint64_t packets; // inner IP packets and their bytes
	_Atomic uint64_t bytes;
};

struct lane_rx {
	struct seal *seal;
	struct window window;
	unsigned owner;		  // number of the worker
	_Atomic uint64_t highest; // counter
	_Atomic uint64_t opened;  // all packets
	_Atomic uint64_t packets; // inner IP packets that went on, and their bytes
	_Atomic uint64_t bytes;
};

struct epoch_options {
	uint32_t number; // from 1
	enum cipher cipher;
	bool initiator;	       // this node dialled
	uint32_t remote_index; // goes into the headers of what is sent
	unsigned peer_lanes;   // lanes that the peer sends on, 1..PACKET_LANES_MAX
	unsigned workers; // the peer's lane n arrives at worker n % workers; 0: that is not known
	uint8_t secret[SEAL_SECRET_SIZE];
};

struct epoch {
	struct epoch_options options;
	_Atomic(struct lane_tx *) tx[PACKET_LANES_MAX]; // by worker
	_Atomic(struct lane_rx *) rx[PACKET_LANES_MAX]; // by the peer's lane
	_Atomic uint64_t forged;			// packets that did not authenticate
};

struct epoch_totals {
	uint64_t tx_packets, tx_bytes, rx_packets, rx_bytes;
};

// What the peer's lanes looked like at one moment, to tell later what was lost since.
struct epoch_mark {
	uint64_t highest[PACKET_LANES_MAX];
	uint64_t opened[PACKET_LANES_MAX];
};

// Copies the options. NULL: out of memory.
struct epoch *epoch_new(const struct epoch_options *options);
// The same for the session of id `session`, with the secret that both ends of an open channel know (RFC 8446, 7.5, with
// PROTOCOL.md's label and context); that of the options does not count. -ENOMEM, and what channel_export() returns.
int epoch_derive(const struct epoch_options *options, struct channel *channel,
		 const uint8_t session[SESSION_ID_SIZE], struct epoch **ret);
struct epoch *epoch_free(struct epoch *epoch); // wipes; takes NULL, returns NULL

// The lane that worker number `worker` sends on; for that worker alone. NULL: no memory.
struct lane_tx *epoch_tx_lane(struct epoch *epoch, unsigned worker);
// Numbers and seals one packet: writes header, ciphertext and tag, `size` + PACKET_OVERHEAD bytes. `inner`: an IP packet, to
// be counted as such. DROP_LIMIT, DROP_KEYS or DROP_NONE.
enum drop epoch_seal(struct epoch *epoch, unsigned worker, uint8_t flags, bool inner,
		     const uint8_t *plain, size_t size, uint8_t *out);

// Claims the peer's lane for `worker` when nobody has it. NULL: no such lane, or no memory.
struct lane_rx *epoch_rx_lane(struct epoch *epoch, unsigned lane, unsigned worker);

// Whether the peer has sent with it.
bool epoch_seen(const struct epoch *epoch);
// A usage limit wants new keys, or forbids to go on (forged packets).
bool epoch_wants_rekey(const struct epoch *epoch);
bool epoch_must_close(const struct epoch *epoch);

void epoch_add_totals(const struct epoch *epoch, struct epoch_totals *totals);
// Packets that this node sent, per lane; returns the number of lanes, the last one used at the end.
unsigned epoch_sent(const struct epoch *epoch, uint64_t sent[PACKET_LANES_MAX]);
void epoch_mark(const struct epoch *epoch, struct epoch_mark *ret);
// Packets of the peer lost since `mark` (NULL: since the beginning). `sent` is what the peer says it sent per lane in the whole
// epoch; without it (count 0) the highest counter seen stands for it.
uint64_t epoch_lost(const struct epoch *epoch, const struct epoch_mark *mark, const uint64_t *sent,
		    unsigned count);
