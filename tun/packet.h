// SPDX-License-Identifier: Apache-2.0
// The whole data wire and its limits (PROTOCOL.md, "Data packets").
#pragma once

#include <assert.h>
#include <stdint.h>

#define PACKET_DATA 1u // type; 2 to 15 are reserved

// Flag: the transport checksum of the inner packet is partial (of the pseudo-header only); the receiver's kernel completes it.
#define PACKET_FLAG_PARTIAL 0x01u

// Associated data of the AEAD. The ciphertext follows, then the tag.
struct packet_header {
	uint8_t type;
	uint8_t epoch; // low 8 bits
	uint8_t lane;
	uint8_t flags;
	uint8_t index[4];   // the receiver's, big-endian
	uint8_t counter[8]; // big-endian, from 1, per lane
};
static_assert(sizeof(struct packet_header) == 16, "PROTOCOL.md, Data packets");

#define PACKET_TAG	16u
#define PACKET_OVERHEAD (sizeof(struct packet_header) + PACKET_TAG)

// Link messages: the first nibble of the plaintext is 0, so that no IP version is meant. Type, 7 zero bytes, token.
enum link_message_type {
	LINK_KEEPALIVE = 1, // no answer
	LINK_PROBE = 2,	    // answered at once, to where it came from, with the same token
	LINK_ANSWER = 3,
	LINK_MTU_PROBE = 4,  // a probe with zeros behind it up to the size that is asked for
	LINK_MTU_ANSWER = 5, // token, and the size that arrived (16 bits, big-endian) in bytes 2-3
	LINK_BATCH_PROBE =
		6, // a probe with zeros behind it; one of several with numbers, sent in one piece or singly
	LINK_BATCH_ANSWER = 7, // token and number
};
struct link_message {
	uint8_t type;
	uint8_t number; // of a batch probe and its answer
	uint8_t size[2];
	uint8_t zero[4];
	uint8_t token[8];
};
static_assert(sizeof(struct link_message) == 16, "PROTOCOL.md, Link messages");

enum packet_limits {
	PACKET_LANES_MAX = 64,
	PACKET_INNER_MAX = 65000,
	WINDOW_BITS = 8192,	// replay window per lane (RFC 6479)
	SWITCH_AFTER_MS = 1000, // the responder sends with the new epoch at the latest
	DRAIN_MIN_MS = 2000,	// an old epoch receives for 3 x RTT + this,
	DRAIN_MAX_MS = 10000,	// and at most for this
	UNCONFIRMED_FACTOR =
		3,	      // bytes out per byte in, to an endpoint that has not answered a probe
	PROBE_AGAIN_MS = 500, // an unanswered probe is repeated
	DEAD_AFTER_MS = 1500, // of unanswered probes, or 4 x RTT where that is more
	DEAD_UNMEASURED_MS = 4000,    // the same while no RTT is known
	BLOCKED_UNMEASURED_MS = 2500, // instead of the latter where the channel answers meanwhile
	DEAD_IN_CHANNEL_MS =
		6000, // at least, where packets go in the channel: TCP repeats what is lost
	ANSWER_WITHIN_MS = 500, // silence while sending, before a probe asks
	SILENCE_MS =
		1000, // after packets of the peer, before a probe asks whether more should come
	UNSEEN_MAX_MS = 30000, // an old epoch waits so long for the peer to show the new one
};

// Usage limits of one key (draft-irtf-cfrg-aead-limits; OpenVPN takes the same). Blocks are of 16 bytes, and one per packet.
#define REKEY_PACKETS (UINT64_C(1) << 28)
#define REKEY_BLOCKS  (UINT64_C(1) << 35)
#define STOP_BLOCKS   ((UINT64_C(1) << 36) - 1)
#define REKEY_FORGED  (UINT64_C(1) << 35)
#define STOP_FORGED   (UINT64_C(1) << 36)

// Everything that can happen to a packet on its way; DROP_NONE: it went on.
enum drop {
	DROP_NONE,
	DROP_SHORT,	 // shorter than header and tag
	DROP_TYPE,	 // not a data packet, reserved bits
	DROP_INDEX,	 // no session has this receiver index
	DROP_EPOCH,	 // the session has no such epoch (any more)
	DROP_LANE,	 // lane not agreed on
	DROP_REPLAY,	 // counter seen before, or too old
	DROP_TAG,	 // does not authenticate
	DROP_LIMIT,	 // usage limit of the key
	DROP_MALFORMED,	 // inner packet or link message
	DROP_ADDRESS,	 // inner packet from or to what is not one host elsewhere
	DROP_MULTICAST,	 // inner packet to many
	DROP_OPTIONS,	 // IPv4 options that do not fit, or route
	DROP_EXTENSION,	 // IPv6 extension headers: too many, out of order, routing elsewhere
	DROP_PROTOCOL,	 // what cannot be meant for the far side of a tunnel
	DROP_QUOTE,	 // an ICMP error about what its receiver did not send
	DROP_FRAGMENT,	 // of no honest sender, or before the first of its packet
	DROP_OVERLAP,	 // fragments that overlap, and all others of their packet (RFC 5722)
	DROP_SOURCE,	 // inner source address does not belong to the session
	DROP_ROUTE,	 // no session for the inner destination
	DROP_KEYS,	 // the session has no keys to send with yet
	DROP_PATH,	 // no endpoint, or one that has not answered its probe yet
	DROP_SIZE,	 // inner packet larger than the session takes
	DROP_SEND,	 // the UDP socket refused it
	DROP_DEVICE,	 // the TUN device refused it
	DROP_QUEUE,	 // hand-over to another worker was full
	DROP_CONGESTION, // congestion on the way, and the inner packet cannot be told (RFC 6040)
	DROP_POLICY,	 // no rule allows it, or one denies it
	DROP_FLOWS,	 // its peer has as many flows as it may have
	DROP_STATE,	 // no connection has such a packet at this point
	DROP_TTL,	 // it has travelled far enough
	DROP_RATE,	 // faster than the session may be
	DROP_CHANNEL,	 // in place of UDP, and the channel has not taken it in time
	DROP_LAST = DROP_CHANNEL,
};
// "replay", "tag" ...: the word in status, logs and tests.
const char *drop_name(enum drop drop);
