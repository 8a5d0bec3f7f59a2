// SPDX-License-Identifier: Apache-2.0
// TUN -> peer.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tun/packet.h"

struct datagram_peer;
struct datagram_way;
struct epoch;
struct session;
struct worker;

struct egress_input {
	const uint8_t *plain;
	size_t size;
	uint8_t flags; // of the packet header
	uint8_t ecn;   // for the outer header
	bool inner;    // an IP packet, not a link message
};

enum egress_origin { EGRESS_QUEUED, EGRESS_ARRIVED };

// Cuts what is at frame + VNET_HEADER, a packet or super-packet of `size` bytes that inner_parse() accepted, to what fits the session,
// and seals it; sent with the next flush. EGRESS_QUEUED: it came out of the TUN queue, which must not grow long. What is there is
// changed.
enum drop egress_send(struct worker *worker, struct session *session, uint8_t *frame, size_t size,
		      enum egress_origin origin);
// Drains the TUN queue, one batch.
void egress_run(struct worker *worker);
// Numbers and seals; sent with the next flush. `way` may be NULL.
enum drop egress_seal(struct worker *worker, struct epoch *epoch, const struct egress_input *input,
		      const struct datagram_peer *to, struct datagram_way *way);
// Sends what has been sealed.
void egress_flush(struct worker *worker);
