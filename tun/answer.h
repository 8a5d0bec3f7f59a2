// SPDX-License-Identifier: Apache-2.0
// What the sender of an inner packet is told that goes no further.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "tun/inner.h"

#define ANSWER_MAX 1280u // bytes of the largest

enum answer_type {
	ANSWER_TOO_BIG, // "fragmentation needed" (RFC 792; RFC 1191, 4) or Packet Too Big (RFC 4443, 3.2)
	ANSWER_REFUSED, // TCP: a reset (RFC 9293, 3.10.7.1); else: administratively prohibited (RFC 1812, 5.2.7.1; RFC 4443, 3.1)
	ANSWER_EXPIRED, // time exceeded in transit (RFC 792; RFC 4443, 3.3)
};

struct answer {
	enum answer_type type;
	struct addr
		from; // who says so: an address of ours, of the packet's family; a reset comes from where the packet was going
	unsigned mtu; // ANSWER_TOO_BIG: bytes of the largest inner packet that fits
};

// Writes the answer to the packet's source, with whole checksums. `inner` is what inner_parse() says of the packet. Returns the bytes
// written, 0: none may be sent, because
// - the packet is an ICMP error or may be one, or a fragment that is not the first (RFC 1812, 4.3.2.7; RFC 4443, 2.4 (e)), or it is to be
//   reset and is a reset
// - too big: it is IPv4 without DF and may be cut instead, or nobody would believe `mtu`: below 68 (RFC 791, 3.2) or, with IPv6, 1280
//   (RFC 8201, 4)
size_t answer_build(const struct answer *answer, const uint8_t *packet, size_t size,
		    const struct inner *inner, uint8_t ret[ANSWER_MAX]);
