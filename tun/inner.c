// SPDX-License-Identifier: Apache-2.0

#include "tun/inner.h"

#include <string.h>
#include <netinet/in.h>

#include "tun/extension.h"
#include "tun/transport.h"

#define IPV4_HEADER	20u
#define IPV4_PACKET_MAX 65535u
#define IPV4_RESERVED	0x8000u
#define IPV4_MORE	0x2000u
#define IPV4_OFFSET	0x1fffu
#define IPV6_HEADER	40u
#define TCP_HEADER	20u
#define UDP_HEADER	8u
#define SCTP_HEADER	12u // and of DCCP
#define ICMP_HEADER	8u
#define QUOTE_LEAST	8u // bytes of a transport header that every error quotes (RFC 792)

// What is looked into. A quoted packet is cut off somewhere behind QUOTE_LEAST.
struct look {
	const uint8_t *packet;
	size_t size; // bytes that are there
	bool quoted;
};

// --- transport

static enum drop cut_off(const struct inner *inner)
{
	return inner->part == INNER_FIRST ? DROP_FRAGMENT : DROP_MALFORMED;
}

// The sets of FIN, SYN, RST, ACK and URG that TCP sends; the others are there to get past filters (as nf_conntrack has it).
static bool tcp_flags_right(uint8_t flags)
{
	switch (flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK | TCP_URG)) {
	case TCP_SYN:
	case TCP_SYN | TCP_URG:
	case TCP_SYN | TCP_ACK:
	case TCP_RST:
	case TCP_RST | TCP_ACK:
	case TCP_FIN | TCP_ACK:
	case TCP_FIN | TCP_ACK | TCP_URG:
	case TCP_ACK:
	case TCP_ACK | TCP_URG:
		return true;
	default:
		return false;
	}
}

static enum drop look_at_tcp(const struct look *look, const uint8_t *header, size_t left,
			     struct inner *ret)
{
	if (look->quoted && left < TCP_HEADER)
		return DROP_NONE;
	size_t size = left < TCP_HEADER ? TCP_HEADER : (size_t)(header[12] >> 4) * 4;
	if (size > left)
		return look->quoted ? DROP_NONE : cut_off(ret);
	ret->tcp_flags = header[13];
	ret->payload = (uint16_t)(ret->transport + size);
	return size >= TCP_HEADER && tcp_flags_right(ret->tcp_flags) ? DROP_NONE : DROP_MALFORMED;
}

// A length less than what is there leaves room for options (RFC 9868).
static enum drop look_at_udp(const struct look *look, const uint8_t *header, size_t left,
			     struct inner *ret)
{
	size_t length = get16(header + 4);
	ret->payload = (uint16_t)(ret->transport + UDP_HEADER);
	if (length < UDP_HEADER)
		return DROP_MALFORMED;
	if (look->quoted || ret->part != INNER_WHOLE)
		return DROP_NONE;
	return length <= left ? DROP_NONE : DROP_MALFORMED;
}

// RFC 3828, 3.1: how much the checksum covers, where UDP has the length; 0: all.
static enum drop look_at_udplite(const struct look *look, const uint8_t *header, size_t left,
				 struct inner *ret)
{
	size_t covered = get16(header + 4);
	ret->payload = (uint16_t)(ret->transport + UDP_HEADER);
	if (covered && covered < UDP_HEADER)
		return DROP_MALFORMED;
	if (look->quoted || ret->part != INNER_WHOLE)
		return DROP_NONE;
	return covered <= left ? DROP_NONE : DROP_MALFORMED;
}

static enum drop look_at_ports(const struct look *look, const uint8_t *header, size_t left,
			       size_t size, struct inner *ret)
{
	if (left < QUOTE_LEAST || (left < size && !look->quoted))
		return cut_off(ret);
	ret->source_port = get16(header);
	ret->destination_port = get16(header + 2);
	ret->payload = (uint16_t)(ret->transport + size);
	switch (ret->protocol) {
	case IPPROTO_TCP:
		return look_at_tcp(look, header, left, ret);
	case IPPROTO_UDP:
		return look_at_udp(look, header, left, ret);
	case IPPROTO_UDPLITE:
		return look_at_udplite(look, header, left, ret);
	default:
		return DROP_NONE;
	}
}

enum icmp_kind { ICMP_OTHER, ICMP_QUERY, ICMP_ERROR, ICMP_LINK };

static enum icmp_kind icmp_kind(uint8_t type)
{
	switch (type) {
	case 0: // echo, timestamp, information, address mask, extended echo (RFC 8335): request and reply
	case 8:
	case 13:
	case 14:
	case 15:
	case 16:
	case 17:
	case 18:
	case 42:
	case 43:
		return ICMP_QUERY;
	case 3: // unreachable, source quench, time exceeded, parameter problem
	case 4:
	case 11:
	case 12:
		return ICMP_ERROR;
	case 5: // redirect, router advertisement and solicitation
	case 9:
	case 10:
		return ICMP_LINK;
	default:
		return ICMP_OTHER;
	}
}

static enum icmp_kind icmp6_kind(uint8_t type)
{
	if (type < 128)
		return ICMP_ERROR;
	switch (type) {
	case 128: // echo, extended echo
	case 129:
	case 160:
	case 161:
		return ICMP_QUERY;
	case 130: // multicast listeners, neighbours, routers, redirect
	case 131:
	case 132:
	case 133:
	case 134:
	case 135:
	case 136:
	case 137:
	case 143:
		return ICMP_LINK;
	default:
		return ICMP_OTHER;
	}
}

static enum drop look_at_icmp(const uint8_t *header, size_t left, struct inner *ret)
{
	bool ipv4 = ret->source.family == AF_INET;
	if (ipv4 != (ret->protocol == IPPROTO_ICMP))
		return DROP_PROTOCOL;
	if (left < ICMP_HEADER)
		return cut_off(ret);
	ret->type = header[0];
	ret->code = header[1];
	ret->payload = (uint16_t)(ret->transport + ICMP_HEADER);
	switch (ipv4 ? icmp_kind(ret->type) : icmp6_kind(ret->type)) {
	case ICMP_QUERY:
		ret->query = true;
		ret->source_port = ret->destination_port = get16(header + 4);
		return DROP_NONE;
	case ICMP_ERROR:
		ret->error = true;
		return DROP_NONE;
	case ICMP_LINK:
		return DROP_PROTOCOL;
	default:
		return DROP_NONE;
	}
}

static enum drop look_at_transport(const struct look *look, struct inner *ret)
{
	const uint8_t *header = look->packet + ret->transport;
	size_t left = look->size - ret->transport;
	ret->payload = ret->transport;
	if (ret->part == INNER_LATER)
		return DROP_NONE;
	switch (ret->protocol) {
	case IPPROTO_TCP:
		return look_at_ports(look, header, left, TCP_HEADER, ret);
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		return look_at_ports(look, header, left, UDP_HEADER, ret);
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		return look_at_ports(look, header, left, SCTP_HEADER, ret);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return look_at_icmp(header, left, ret);
	default:
		return DROP_NONE;
	}
}

// --- network

// What the header says must be what is there, or, if it is quoted, not less than was quoted: extensions may follow (RFC 4884).
static bool length_right(struct look *look, size_t said)
{
	if (!look->quoted)
		return said == look->size;
	if (said < look->size)
		look->size = said;
	return true;
}

static bool is_host_ipv4(const uint8_t *addr)
{
	return addr[0] != 0 && addr[0] != 127 && addr[0] < 224;
}

static enum drop judge_ipv4(const uint8_t *source, const uint8_t *destination)
{
	if (destination[0] >= 224 && (destination[0] < 240 || get32(destination) == UINT32_MAX))
		return DROP_MULTICAST;
	bool right = is_host_ipv4(source) && is_host_ipv4(destination) &&
		     memcmp(source, destination, 4) != 0;
	return right ? DROP_NONE : DROP_ADDRESS;
}

static enum drop parse_ipv4(struct look look, struct inner *ret)
{
	const uint8_t *packet = look.packet;
	if (look.size < IPV4_HEADER)
		return DROP_MALFORMED;
	size_t header = (size_t)(packet[0] & 0x0f) * 4;
	unsigned fragment = get16(packet + 6);
	ret->source.family = ret->destination.family = AF_INET;
	memcpy(ret->source.bytes, packet + 12, 4);
	memcpy(ret->destination.bytes, packet + 16, 4);
	if (header < IPV4_HEADER || !length_right(&look, get16(packet + 2)) || header > look.size ||
	    fragment & IPV4_RESERVED)
		return DROP_MALFORMED;
	ret->protocol = packet[9];
	ret->transport = (uint16_t)header;
	enum drop drop = judge_ipv4(packet + 12, packet + 16);
	if (drop == DROP_NONE && header > IPV4_HEADER)
		drop = extension_options(packet + IPV4_HEADER, header - IPV4_HEADER);
	if (drop == DROP_NONE && fragment & (IPV4_MORE | IPV4_OFFSET)) {
		ret->id = get16(packet + 4);
		drop = extension_fragment(ret, (size_t)(fragment & IPV4_OFFSET) * 8,
					  fragment & IPV4_MORE, look.size - header,
					  IPV4_PACKET_MAX - header);
	}
	return drop == DROP_NONE ? look_at_transport(&look, ret) : drop;
}

// "::", "::1", v4-compatible and v4-mapped addresses are not hosts.
static bool is_host_ipv6(const uint8_t *addr)
{
	static const uint8_t zero[10];
	if (addr[0] != 0)
		return addr[0] != 0xff;
	unsigned word = get16(addr + 10);
	return memcmp(addr, zero, sizeof(zero)) != 0 || (word != 0 && word != 0xffff);
}

static enum drop judge_ipv6(const uint8_t *source, const uint8_t *destination)
{
	if (destination[0] == 0xff)
		return DROP_MULTICAST;
	bool right = is_host_ipv6(source) && is_host_ipv6(destination) &&
		     memcmp(source, destination, 16) != 0;
	return right ? DROP_NONE : DROP_ADDRESS;
}

static enum drop parse_ipv6(struct look look, struct inner *ret)
{
	const uint8_t *packet = look.packet;
	if (look.size < IPV6_HEADER)
		return DROP_MALFORMED;
	ret->source.family = ret->destination.family = AF_INET6;
	memcpy(ret->source.bytes, packet + 8, 16);
	memcpy(ret->destination.bytes, packet + 24, 16);
	if (!length_right(&look, get16(packet + 4) + IPV6_HEADER))
		return DROP_MALFORMED;
	ret->protocol = packet[6];
	ret->transport = IPV6_HEADER;
	enum drop drop = judge_ipv6(packet + 8, packet + 24);
	if (drop == DROP_NONE && extension_is(ret->protocol))
		drop = extension_walk(packet, look.size, ret);
	return drop == DROP_NONE ? look_at_transport(&look, ret) : drop;
}

static enum drop parse(struct look look, struct inner *ret)
{
	*ret = (struct inner){0};
	switch (look.size ? look.packet[0] >> 4 : 0) {
	case 4:
		return parse_ipv4(look, ret);
	case 6:
		return parse_ipv6(look, ret);
	default:
		return DROP_MALFORMED;
	}
}

enum drop inner_parse(const uint8_t *packet, size_t size, struct inner *ret)
{
	struct look look = {.packet = packet, .size = size};
	struct inner quote;
	enum drop drop = parse(look, ret);
	return drop == DROP_NONE && ret->error ? inner_quote(packet, size, ret, &quote) : drop;
}

enum drop inner_quote(const uint8_t *packet, size_t size, const struct inner *error,
		      struct inner *ret)
{
	struct look look = {
		.packet = packet + error->payload, .size = size - error->payload, .quoted = true};
	// Its receiver sent what it is about, in one piece or as the first one: nobody answers a later one.
	bool right = parse(look, ret) == DROP_NONE && !ret->error && ret->part != INNER_LATER &&
		     addr_equal(&ret->source, &error->destination);
	return right ? DROP_NONE : DROP_QUOTE;
}

uint16_t inner_service(const struct inner *inner)
{
	if (inner->protocol == IPPROTO_ICMP || inner->protocol == IPPROTO_ICMPV6)
		return (uint16_t)(inner->type << 8 | inner->code);
	return inner->destination_port;
}

// --- marks

uint8_t inner_ecn(const uint8_t *packet)
{
	return packet[0] >> 4 == 4 ? packet[1] & 3 : packet[1] >> 4 & 3;
}

static void set_ecn(uint8_t *packet, uint8_t ecn)
{
	if (packet[0] >> 4 == 6) {
		packet[1] = (uint8_t)((packet[1] & ~0x30) | ecn << 4);
		return;
	}
	packet[1] = (uint8_t)((packet[1] & ~3) | ecn);
	put16(packet + 10, 0);
	put16(packet + 10, (uint16_t)~checksum_add(0, packet, (size_t)(packet[0] & 0x0f) * 4));
}

bool inner_fold_ecn(uint8_t *packet, uint8_t outer)
{
	uint8_t inner = inner_ecn(packet);
	if (outer == ECN_CE && inner == ECN_NONE)
		return false;
	bool marked = outer == ECN_CE || (outer == ECN_ECT_1 && inner == ECN_ECT_0);
	if (marked && inner != ECN_CE && inner != outer)
		set_ecn(packet, outer);
	return true;
}

bool inner_lower_ttl(uint8_t *packet)
{
	bool ipv4 = packet[0] >> 4 == 4;
	uint8_t *ttl = packet + (ipv4 ? 8 : 7);
	if (*ttl <= 1)
		return false;
	uint16_t was = get16(packet + 8);
	--*ttl;
	if (ipv4)
		checksum_correct(packet + 10, was, get16(packet + 8));
	return true;
}
