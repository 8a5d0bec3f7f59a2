// SPDX-License-Identifier: Apache-2.0

#include "tun/extension.h"

#include <netinet/in.h>

#include "tun/transport.h"

#define IPV6_PAYLOAD_MAX 65535u
#define FRAGMENT_HEADER	 8u
#define OPTIONS_MAX \
	2u // headers of destination options: before and behind a routing header (RFC 8200, 4.1)

enum { IPV4_END = 0, IPV4_NOTHING = 1, IPV4_LOOSE_ROUTE = 131, IPV4_STRICT_ROUTE = 137 };
enum { IPV6_PAD_ONE = 0, IPV6_JUMBO = 0xc2, IPV6_HOME_ADDRESS = 0xc9 };

struct walk {
	size_t begin; // of the first header
	struct inner *inner;
	unsigned options;
	bool routing, fragment;
};

bool extension_is(uint8_t next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS ||
	       next == IPPROTO_FRAGMENT;
}

enum drop extension_options(const uint8_t *options, size_t size)
{
	for (size_t at = 0; at < size && options[at] != IPV4_END;) {
		if (options[at] == IPV4_NOTHING) {
			at++;
			continue;
		}
		size_t length = at + 1 < size ? options[at + 1] : 0;
		if (length < 2 || length > size - at || options[at] == IPV4_LOOSE_ROUTE ||
		    options[at] == IPV4_STRICT_ROUTE)
			return DROP_OPTIONS;
		at += length;
	}
	return DROP_NONE;
}

// Bytes that every transport header has: no later fragment may begin among them.
static size_t least_header(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return 20;
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		return 12;
	default:
		return 8;
	}
}

enum drop extension_fragment(struct inner *inner, size_t offset, bool more, size_t length,
			     size_t room)
{
	if (length == 0 || (more && length % 8) || offset + length > room)
		return DROP_FRAGMENT;
	if (offset && offset < least_header(inner->protocol))
		return DROP_FRAGMENT;
	inner->part = offset ? INNER_LATER : INNER_FIRST;
	inner->offset = (uint16_t)offset;
	inner->length = (uint16_t)length;
	inner->last = !more;
	return DROP_NONE;
}

// RFC 8200, 4.2.
static bool options_fit(const uint8_t *options, size_t size)
{
	for (size_t at = 0; at < size;) {
		if (options[at] == IPV6_PAD_ONE) {
			at++;
			continue;
		}
		size_t length = at + 1 < size ? options[at + 1] + 2u : SIZE_MAX;
		if (length > size - at || options[at] == IPV6_JUMBO ||
		    options[at] == IPV6_HOME_ADDRESS)
			return false;
		at += length;
	}
	return true;
}

// RFC 8200, 4.4: with no segments left its kind does not matter.
static bool routing_is_done(const uint8_t *header)
{
	return header[2] != 0 && header[3] == 0;
}

// A header that is not the fragment header: its length is in its second byte.
static enum drop walk_over(struct walk *walk, const uint8_t *header, size_t left)
{
	struct inner *inner = walk->inner;
	size_t size = left < 8 ? 8 : (header[1] + 1u) * 8;
	bool right;
	if (size > left)
		return inner->part == INNER_FIRST ? DROP_FRAGMENT : DROP_EXTENSION;
	switch (inner->protocol) {
	case IPPROTO_HOPOPTS:
		right = inner->transport == walk->begin && options_fit(header + 2, size - 2);
		break;
	case IPPROTO_ROUTING:
		right = !walk->routing && routing_is_done(header);
		walk->routing = true;
		break;
	default:
		right = walk->options++ < OPTIONS_MAX && options_fit(header + 2, size - 2);
		break;
	}
	if (!right)
		return DROP_EXTENSION;
	inner->protocol = header[0];
	inner->transport = (uint16_t)(inner->transport + size);
	return DROP_NONE;
}

static enum drop walk_fragment(struct walk *walk, const uint8_t *header, size_t left)
{
	struct inner *inner = walk->inner;
	if (walk->fragment || left < FRAGMENT_HEADER)
		return DROP_FRAGMENT;
	size_t before = inner->transport - walk->begin;
	size_t offset = get16(header + 2) & 0xfff8u;
	bool more = header[3] & 1;
	walk->fragment = true;
	inner->protocol = header[0];
	inner->transport = (uint16_t)(inner->transport + FRAGMENT_HEADER);
	inner->id = get32(header + 4);
	// RFC 6946: it is the whole packet.
	if (offset == 0 && !more)
		return DROP_NONE;
	return extension_fragment(inner, offset, more, left - FRAGMENT_HEADER,
				  IPV6_PAYLOAD_MAX - before);
}

enum drop extension_walk(const uint8_t *packet, size_t size, struct inner *inner)
{
	struct walk walk = {.begin = inner->transport, .inner = inner};
	for (unsigned count = 0; extension_is(inner->protocol) && inner->part != INNER_LATER;
	     count++) {
		const uint8_t *header = packet + inner->transport;
		size_t left = size - inner->transport;
		if (count == EXTENSIONS_MAX)
			return DROP_EXTENSION;
		enum drop drop = inner->protocol == IPPROTO_FRAGMENT
					 ? walk_fragment(&walk, header, left)
					 : walk_over(&walk, header, left);
		if (drop != DROP_NONE)
			return drop;
		if (inner->transport - walk.begin > EXTENSION_BYTES_MAX)
			return DROP_EXTENSION;
	}
	return DROP_NONE;
}
