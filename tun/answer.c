// SPDX-License-Identifier: Apache-2.0

#include "tun/answer.h"

#include <string.h>

#include "tun/transport.h"

#define IPV4_HEADER    20u
#define IPV4_MAX       576u // RFC 1812, 4.3.2.3
#define IPV4_MTU       68u
#define IPV4_DONT      0x4000u
#define IPV4_TOS       0xc0u // internetwork control (RFC 1812, 4.3.2.5)
#define IPV6_HEADER    40u
#define IPV6_MTU_LEAST 1280u
#define ICMP_HEADER    8u
#define TCP_HEADER     20u
#define HOPS	       64u

// Type and code.
static const uint8_t icmp_words[][2] = {
	[ANSWER_TOO_BIG] = {3, 4},
	[ANSWER_REFUSED] = {3, 13},
	[ANSWER_EXPIRED] = {11, 0},
};
static const uint8_t icmp6_words[][2] = {
	[ANSWER_TOO_BIG] = {2, 0},
	[ANSWER_REFUSED] = {1, 1},
	[ANSWER_EXPIRED] = {3, 0},
};

// --- whether

// An ICMP type that nobody knows may be an error; so may be what is behind an authentication header.
static bool may_be_error(const uint8_t *packet, size_t size, const struct inner *inner)
{
	switch (inner->protocol) {
	case IPPROTO_ICMP:
		return !inner->query;
	case IPPROTO_ICMPV6:
		return inner->error;
	case IPPROTO_AH:
		return inner->transport >= size || packet[inner->transport] == IPPROTO_ICMP ||
		       packet[inner->transport] == IPPROTO_ICMPV6;
	default:
		return false;
	}
}

static bool is_too_big(const uint8_t *packet, bool ipv4, unsigned mtu)
{
	return ipv4 ? get16(packet + 6) & IPV4_DONT && mtu >= IPV4_MTU : mtu >= IPV6_MTU_LEAST;
}

// --- writing

// Addresses, what follows and how much of it. Returns where that begins.
static uint8_t *put_network(uint8_t *ret, const struct addr *from, const struct addr *to,
			    uint8_t protocol, size_t size)
{
	bool ipv4 = from->family == AF_INET;
	size_t header = ipv4 ? IPV4_HEADER : IPV6_HEADER;
	memset(ret, 0, header);
	if (ipv4) {
		ret[0] = 0x45;
		ret[1] = protocol == IPPROTO_ICMP ? IPV4_TOS : 0;
		put16(ret + 6, IPV4_DONT); // so that it needs no identification (RFC 6864, 4.1)
		ret[8] = HOPS;
		ret[9] = protocol;
		memcpy(ret + 12, from->bytes, 4);
		memcpy(ret + 16, to->bytes, 4);
	} else {
		ret[0] = 0x60;
		ret[6] = protocol;
		ret[7] = HOPS;
		memcpy(ret + 8, from->bytes, 16);
		memcpy(ret + 24, to->bytes, 16);
	}
	transport_put_size(ret, header, header + size);
	return ret + header;
}

// Completes the checksum at `check` over `size` bytes at `transport` and their pseudo-header.
static void put_sum(uint8_t *packet, uint8_t *transport, size_t check, uint8_t protocol,
		    size_t size)
{
	struct transport shape = {
		.ipv4 = packet[0] >> 4 == 4,
		.protocol = protocol,
		.check = (size_t)(transport - packet) + check,
	};
	transport_put_partial(packet, &shape, size);
	put16(transport + check, (uint16_t)~checksum_add(0, transport, size));
}

static size_t build_icmp(const struct answer *answer, const uint8_t *packet, size_t size,
			 const struct inner *inner, uint8_t *ret)
{
	bool ipv4 = inner->source.family == AF_INET;
	size_t room = ipv4 ? IPV4_MAX - IPV4_HEADER - ICMP_HEADER
			   : ANSWER_MAX - IPV6_HEADER - ICMP_HEADER;
	size_t quote = size < room ? size : room;
	uint8_t *icmp = put_network(ret, &answer->from, &inner->source,
				    ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, ICMP_HEADER + quote);
	memset(icmp, 0, ICMP_HEADER);
	memcpy(icmp, ipv4 ? icmp_words[answer->type] : icmp6_words[answer->type], 2);
	if (answer->type == ANSWER_TOO_BIG && ipv4)
		put16(icmp + 6, answer->mtu < UINT16_MAX ? answer->mtu : UINT16_MAX);
	else if (answer->type == ANSWER_TOO_BIG)
		put32(icmp + 4, answer->mtu);
	memcpy(icmp + ICMP_HEADER, packet, quote);
	if (ipv4)
		put16(icmp + 2, (uint16_t)~checksum_add(0, icmp, ICMP_HEADER + quote));
	else
		put_sum(ret, icmp, 2, IPPROTO_ICMPV6, ICMP_HEADER + quote);
	return (size_t)(icmp - ret) + ICMP_HEADER + quote;
}

static size_t build_reset(const uint8_t *packet, size_t size, const struct inner *inner,
			  uint8_t *ret)
{
	const uint8_t *segment = packet + inner->transport;
	uint8_t *tcp =
		put_network(ret, &inner->destination, &inner->source, IPPROTO_TCP, TCP_HEADER);
	memset(tcp, 0, TCP_HEADER);
	put16(tcp, inner->destination_port);
	put16(tcp + 2, inner->source_port);
	tcp[12] = TCP_HEADER / 4 << 4;
	tcp[13] = TCP_RST;
	if (inner->tcp_flags & TCP_ACK) {
		memcpy(tcp + 4, segment + 8, 4);
	} else {
		uint32_t length = (uint32_t)(size - inner->payload) +
				  !!(inner->tcp_flags & TCP_SYN) + !!(inner->tcp_flags & TCP_FIN);
		put32(tcp + 8, get32(segment + 4) + length);
		tcp[13] |= TCP_ACK;
	}
	put_sum(ret, tcp, 16, IPPROTO_TCP, TCP_HEADER);
	return (size_t)(tcp - ret) + TCP_HEADER;
}

size_t answer_build(const struct answer *answer, const uint8_t *packet, size_t size,
		    const struct inner *inner, uint8_t ret[ANSWER_MAX])
{
	bool ipv4 = inner->source.family == AF_INET;
	if (inner->part == INNER_LATER || may_be_error(packet, size, inner))
		return 0;
	if (answer->type == ANSWER_REFUSED && inner->protocol == IPPROTO_TCP &&
	    inner->part == INNER_WHOLE)
		return inner->tcp_flags & TCP_RST ? 0 : build_reset(packet, size, inner, ret);
	if (answer->from.family != inner->source.family)
		return 0;
	if (answer->type == ANSWER_TOO_BIG && !is_too_big(packet, ipv4, answer->mtu))
		return 0;
	return build_icmp(answer, packet, size, inner, ret);
}
