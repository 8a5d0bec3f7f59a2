// SPDX-License-Identifier: Apache-2.0
// What the sender of an inner packet is told that does not fit the tunnel: "fragmentation needed" (RFC 792; RFC 1191, 4) or
// Packet Too Big (RFC 4443, 3.2).
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define TOOBIG_MAX 1280u // bytes of the largest answer

// Writes the answer to the inner packet, which inner_parse() accepted, from `source` (an address of ours, of the packet's
// family) to the packet's source. `mtu`: bytes of the largest inner packet that fits. Returns the bytes written, 0: none may
// be sent, because
// - the packet is an ICMP error or may be one, or a fragment that is not the first (RFC 1812, 4.3.2.7; RFC 4443, 2.4 (e))
// - its source is not one host, or it is IPv4 to many
// - it is IPv4 without DF: it may be cut instead
// - nobody would believe `mtu`: below 68 (RFC 791, 3.2) or, with IPv6, 1280 (RFC 8201, 4)
size_t toobig_build(const uint8_t *packet, size_t size, unsigned mtu, const struct addr *source,
		    uint8_t ret[TOOBIG_MAX]);
