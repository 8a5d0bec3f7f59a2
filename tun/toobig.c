// SPDX-License-Identifier: Apache-2.0

#include "tun/toobig.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "base/buffer.h"
#include "tun/transport.h"

#define IPV4_HEADER    20u
#define IPV4_MAX       576u // RFC 1812, 4.3.2.3
#define IPV4_MTU       68u
#define IPV4_DONT      0x4000u
#define IPV4_OFFSET    0x1fffu
#define IPV4_TOS       0xc0u // internetwork control (RFC 1812, 4.3.2.5)
#define IPV6_HEADER    40u
#define IPV6_MTU_LEAST 1280u
#define ICMP_HEADER    8u
#define HOPS	       64u

enum { ICMP4_UNREACHABLE = 3, ICMP4_TOO_BIG = 4 };	// type and code
enum { ICMP6_TOO_BIG = 2, ICMP6_REDIRECT = 137 };	// types
enum { ICMP6_INFORMATIONAL = 128, EXTENSIONS_MAX = 8 }; // types from there are no errors

// An unknown type may be an error.
static bool is_query_ipv4(uint8_t type)
{
	switch (type) {
	case 0: // echo reply
	case 8: // echo
	case 9: // router advertisement and solicitation
	case 10:
	case 13: // timestamp, information, address mask: request and reply
	case 14:
	case 15:
	case 16:
	case 17:
	case 18:
		return true;
	default:
		return false;
	}
}

// This network, loopback, multicast, reserved and broadcast are not one host (RFC 1812, 5.3.7).
static bool is_host_ipv4(const uint8_t *addr)
{
	return addr[0] != 0 && addr[0] != 127 && addr[0] < 224;
}

static bool may_answer_ipv4(const uint8_t *packet, size_t size)
{
	size_t header = (size_t)(packet[0] & 0x0f) * 4;
	uint16_t fragment = get16(packet + 6);
	if (!(fragment & IPV4_DONT) || fragment & IPV4_OFFSET)
		return false;
	if (!is_host_ipv4(packet + 12) || packet[16] >= 224)
		return false;
	return packet[9] != IPPROTO_ICMP || (size > header && is_query_ipv4(packet[header]));
}

static bool is_host_ipv6(const uint8_t *addr)
{
	static const uint8_t zero[15];
	bool special = memcmp(addr, zero, sizeof(zero)) == 0 && addr[15] <= 1; // "::" and "::1"
	return addr[0] != 0xff && !special;
}

// Steps over one extension header (RFC 8200, 4; RFC 4302, 2.2). false: it is none.
static bool skip_extension(struct reader *reader, uint8_t *protocol, bool *ret_later)
{
	size_t left;
	uint8_t next;
	switch (*protocol) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
		next = reader_u8(reader);
		left = (size_t)reader_u8(reader) * 8 + 6;
		break;
	case IPPROTO_AH:
		next = reader_u8(reader);
		left = (size_t)reader_u8(reader) * 4 + 6;
		break;
	case IPPROTO_FRAGMENT:
		next = reader_u8(reader);
		reader_u8(reader);
		*ret_later = (reader_u16(reader) & 0xfff8) != 0;
		left = 4;
		break;
	default:
		return false;
	}
	reader_bytes(reader, left);
	*protocol = next;
	return !reader->failed;
}

static bool may_answer_ipv6(const uint8_t *packet, size_t size)
{
	struct reader reader = reader_over(packet + IPV6_HEADER, size - IPV6_HEADER);
	uint8_t protocol = packet[6];
	bool later = false;
	if (!is_host_ipv6(packet + 8))
		return false;
	unsigned count = 0;
	while (count < EXTENSIONS_MAX && !later && skip_extension(&reader, &protocol, &later))
		count++;
	if (later || reader.failed || count == EXTENSIONS_MAX)
		return false;
	if (protocol != IPPROTO_ICMPV6)
		return true;
	uint8_t type = reader_u8(&reader);
	return !reader.failed && type >= ICMP6_INFORMATIONAL && type != ICMP6_REDIRECT;
}

static size_t build_ipv4(const uint8_t *packet, size_t size, unsigned mtu,
			 const struct addr *source, uint8_t *ret)
{
	size_t quote = size;
	if (quote > IPV4_MAX - IPV4_HEADER - ICMP_HEADER)
		quote = IPV4_MAX - IPV4_HEADER - ICMP_HEADER;
	uint8_t *icmp = ret + IPV4_HEADER;
	memset(ret, 0, IPV4_HEADER + ICMP_HEADER);
	ret[0] = 0x45;
	ret[1] = IPV4_TOS;
	put16(ret + 6, IPV4_DONT); // so that it needs no identification (RFC 6864, 4.1)
	ret[8] = HOPS;
	ret[9] = IPPROTO_ICMP;
	memcpy(ret + 12, source->bytes, 4);
	memcpy(ret + 16, packet + 12, 4);
	transport_put_size(ret, IPV4_HEADER, IPV4_HEADER + ICMP_HEADER + quote);

	icmp[0] = ICMP4_UNREACHABLE;
	icmp[1] = ICMP4_TOO_BIG;
	put16(icmp + 6, mtu < UINT16_MAX ? mtu : UINT16_MAX);
	memcpy(icmp + ICMP_HEADER, packet, quote);
	put16(icmp + 2, (uint16_t)~checksum_add(0, icmp, ICMP_HEADER + quote));
	return IPV4_HEADER + ICMP_HEADER + quote;
}

static size_t build_ipv6(const uint8_t *packet, size_t size, unsigned mtu,
			 const struct addr *source, uint8_t *ret)
{
	size_t quote = size;
	if (quote > TOOBIG_MAX - IPV6_HEADER - ICMP_HEADER)
		quote = TOOBIG_MAX - IPV6_HEADER - ICMP_HEADER;
	uint8_t *icmp = ret + IPV6_HEADER;
	memset(ret, 0, IPV6_HEADER + ICMP_HEADER);
	ret[0] = 0x60;
	ret[6] = IPPROTO_ICMPV6;
	ret[7] = HOPS;
	memcpy(ret + 8, source->bytes, 16);
	memcpy(ret + 24, packet + 8, 16);
	transport_put_size(ret, IPV6_HEADER, IPV6_HEADER + ICMP_HEADER + quote);

	icmp[0] = ICMP6_TOO_BIG;
	put32(icmp + 4, mtu);
	memcpy(icmp + ICMP_HEADER, packet, quote);
	uint8_t rest[4] = {0, IPPROTO_ICMPV6}; // of the pseudo-header (RFC 8200, 8.1)
	put16(rest + 2, ICMP_HEADER + quote);
	uint16_t sum = checksum_add(checksum_add(0, ret + 8, 32), rest, sizeof(rest));
	put16(icmp + 2, (uint16_t)~checksum_add(sum, icmp, ICMP_HEADER + quote));
	return IPV6_HEADER + ICMP_HEADER + quote;
}

size_t toobig_build(const uint8_t *packet, size_t size, unsigned mtu, const struct addr *source,
		    uint8_t ret[TOOBIG_MAX])
{
	if (size >= IPV4_HEADER && packet[0] >> 4 == 4)
		return source->family == AF_INET && mtu >= IPV4_MTU && may_answer_ipv4(packet, size)
			       ? build_ipv4(packet, size, mtu, source, ret)
			       : 0;
	if (size >= IPV6_HEADER && packet[0] >> 4 == 6)
		return source->family == AF_INET6 && mtu >= IPV6_MTU_LEAST &&
				       may_answer_ipv6(packet, size)
			       ? build_ipv6(packet, size, mtu, source, ret)
			       : 0;
	return 0;
}
