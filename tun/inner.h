// SPDX-License-Identifier: Apache-2.0
// A strict look into an inner IP packet: what the data plane needs to judge it. What could be read in two ways is refused.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "tun/packet.h"

enum inner_part { INNER_WHOLE, INNER_FIRST, INNER_LATER }; // the packet, or which of its fragments

struct inner {
	struct addr source;
	struct addr destination;
	// IPPROTO_..., behind all IPv6 extension headers but AH and ESP, which are protocols here, as all that is not known is. Of a
	// later fragment: what its IP or fragment header says.
	uint8_t protocol;
	uint8_t part;	   // enum inner_part
	uint8_t type;	   // of ICMP and ICMPv6
	uint8_t code;	   // likewise
	uint8_t tcp_flags; // TCP_FIN ... (RFC 9293, 3.1)
	bool query;	   // ICMP with an identifier, request or reply
	bool error;	   // ICMP error: inner_quote() says of what
	// TCP, UDP, UDP-Lite, SCTP, DCCP. ICMP queries: the identifier, twice. Others and later fragments: 0.
	uint16_t source_port;
	uint16_t destination_port;
	uint16_t transport; // offset of the transport header; of a later fragment: of its bytes
	uint16_t
		payload; // offset of what follows the transport header where that is known, else as `transport`
	// Of a fragment:
	bool last;
	uint16_t offset; // bytes of the whole before it
	uint16_t length; // bytes of the whole in it
	uint32_t id;
};

enum { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_ACK = 0x10, TCP_URG = 0x20 };

// The packet must be exactly one IPv4 or IPv6 packet of `size` bytes, or one super-packet. Not DROP_NONE: `*ret` holds what had
// been read, zero elsewhere.
//   DROP_MALFORMED  version, lengths, a transport header that is cut off or cannot be (RFC 791, 3.1; RFC 8200, 3; RFC 9293, 3.1)
//   DROP_ADDRESS    from or to what is not one host elsewhere: this network, loopback, reserved, v4-mapped, v4-compatible; from
//                   many; from and to the same (RFC 1812, 5.3.7; RFC 4291, 2.5; RFC 6890)
//   DROP_MULTICAST  to many: nothing routes it
//   DROP_OPTIONS    IPv4 options that do not fit or route (RFC 7126, 4.3, 4.4)
//   DROP_EXTENSION  IPv6 extension headers: tun/extension.h
//   DROP_FRAGMENT   one that no honest sender makes: empty, past the end, headers not all in the first (RFC 1858; RFC 3128;
//                   RFC 7112; RFC 8200, 4.5)
//   DROP_PROTOCOL   ICMP of the other family, or what only neighbours on one wire tell each other (RFC 4861, RFC 2710, RFC 1256,
//                   redirects)
//   DROP_QUOTE      an ICMP error about what its receiver cannot have sent, or about another error
enum drop inner_parse(const uint8_t *packet, size_t size, struct inner *ret);
// What an ICMP error is about, which inner_parse() accepted as `error`: the quoted packet as it was sent, as far as it is there.
// Lengths are not to be relied on. DROP_NONE or DROP_QUOTE.
enum drop inner_quote(const uint8_t *packet, size_t size, const struct inner *error,
		      struct inner *ret);
// What a filter asks for: the destination's port, or ICMP type << 8 | code, else 0.
uint16_t inner_service(const struct inner *inner);

enum { ECN_NONE, ECN_ECT_1, ECN_ECT_0, ECN_CE }; // RFC 3168, 5

// The ECN field of a packet that inner_parse() accepted.
uint8_t inner_ecn(const uint8_t *packet);
// Folds in what happened to the outer header on the way (RFC 6040, 4.2). false: the packet must be dropped.
bool inner_fold_ecn(uint8_t *packet, uint8_t outer);
// One hop further: TTL or hop limit of a packet that inner_parse() accepted, less one (RFC 1812, 5.3.1; RFC 8200, 3; RFC 1624).
// false: it was the last one; the packet is as it was.
bool inner_lower_ttl(uint8_t *packet);
