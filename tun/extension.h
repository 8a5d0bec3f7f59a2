// SPDX-License-Identifier: Apache-2.0
// What stands between the IP header and the transport header, where evasion lives: IPv4 options and IPv6 extension headers.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tun/inner.h"

enum extension_limits { EXTENSIONS_MAX = 8, EXTENSION_BYTES_MAX = 512 };

// Whether the next header is one to walk over: hop-by-hop, routing, destination options, fragment.
bool extension_is(uint8_t next);
// Walks over the IPv6 extension headers of a packet of `size` bytes, from inner->protocol at inner->transport, both of which it
// moves on, and takes down what a fragment header says. DROP_EXTENSION:
// - more than EXTENSIONS_MAX, longer than EXTENSION_BYTES_MAX, cut off, one too often (RFC 8200, 4.1), hop-by-hop not first
// - a routing header that has a way to go, or of type 0 (RFC 5095): the packet would end up elsewhere
// - options that do not fit; a jumbo payload (RFC 2675); a home address (RFC 6275, 6.3): the sender would be another
// DROP_FRAGMENT: two fragment headers, a first fragment without all headers (RFC 7112), and as extension_fragment() says.
enum drop extension_walk(const uint8_t *packet, size_t size, struct inner *inner);
// Takes down a fragment: `length` bytes of a whole that may have `room`, from `offset` on; inner->protocol is known. DROP_FRAGMENT:
// empty, past the end, not a multiple of 8 bytes although more follow, or over a transport header (RFC 1858, RFC 3128).
enum drop extension_fragment(struct inner *inner, size_t offset, bool more, size_t length,
			     size_t room);
// Judges IPv4 options. DROP_NONE or DROP_OPTIONS.
enum drop extension_options(const uint8_t *options, size_t size);
