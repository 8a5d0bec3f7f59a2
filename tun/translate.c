// SPDX-License-Identifier: Apache-2.0
// Checksums are one's complement sums of 16-bit words, so that a change anywhere is a difference that can be added to each of them:
// `delta` below, never complemented.

#include "tun/translate.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "tun/transport.h"

#define IPV4_HEADER    20u
#define IPV6_HEADER    40u
#define IPV4_CHECK     10u
#define IPV4_OFFSET    0x1fffu
#define ICMP_HEADER    8u
#define ICMP_CHECK     2u
#define ICMP6_QUERY    128u // types from there are no errors
#define EXTENSIONS_MAX 8u
#define PROTOCOL_DCCP  33u
#define PROTOCOL_LITE  136u // UDP-Lite

struct translations *translations_new(const struct translation *list, unsigned count)
{
	struct translations *translations;
	if (count == 0)
		return NULL;
	translations = calloc(1, sizeof(*translations) + count * sizeof(*list));
	if (!translations)
		return NULL;
	translations->count = count;
	memcpy(translations->list, list, count * sizeof(*list));
	return translations;
}

static uint16_t sum(uint16_t a, uint16_t b)
{
	uint32_t total = (uint32_t)a + b;
	return (uint16_t)(total + (total >> 16));
}

// Adds to a checksum what has changed below it. Returns what has changed with the checksum itself.
static uint16_t adjust(uint8_t *check, uint16_t delta, bool partial, bool udp)
{
	uint16_t old = get16(check);
	if (udp && !partial && old == 0)
		return 0; // there is none (RFC 768)
	uint16_t now = partial ? sum(old, delta) : (uint16_t)~sum((uint16_t)~old, delta);
	if (udp && !partial && now == 0)
		now = 0xffff;
	put16(check, now);
	return sum((uint16_t)~old, now);
}

// Puts the address at `at` into the other prefix. Returns what has changed; zero where it lies in none (and where the sums are
// equal, when nothing is to be done either).
static uint16_t move_address(const struct translations *translations, bool from_site, uint8_t *at,
			     uint8_t family)
{
	struct addr addr = {.family = family};
	memcpy(addr.bytes, at, ADDR_BYTES(&addr));
	for (unsigned i = 0; i < translations->count; i++) {
		const struct translation *one = &translations->list[i];
		const struct prefix *is = from_site ? &one->from : &one->to;
		const struct prefix *becomes = from_site ? &one->to : &one->from;
		if (!prefix_contains(is, &addr))
			continue;
		size_t size = ADDR_BYTES(&addr);
		uint16_t before = checksum_add(0, at, size);
		size_t whole = is->length / 8;
		memcpy(at, becomes->addr.bytes, whole);
		if (is->length % 8) {
			uint8_t mask = (uint8_t)(0xff00u >> is->length % 8);
			at[whole] = (uint8_t)((becomes->addr.bytes[whole] & mask) |
					      (at[whole] & ~mask));
		}
		return sum((uint16_t)~before, checksum_add(0, at, size));
	}
	return 0;
}

// Where the transport header of a packet, or of the beginning of one, is.
struct place {
	uint8_t protocol;
	size_t at;
	bool there; // it begins in this fragment
};

static bool skip_extension(struct reader *reader, uint8_t *protocol, bool *ret_later)
{
	size_t left = 0;
	uint8_t next = reader_u8(reader);
	switch (*protocol) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
		left = (size_t)reader_u8(reader) * 8 + 6;
		break;
	case IPPROTO_AH:
		left = (size_t)reader_u8(reader) * 4 + 6;
		break;
	case IPPROTO_FRAGMENT:
		reader_u8(reader);
		*ret_later = (reader_u16(reader) & 0xfff8) != 0;
		left = 4;
		break;
	default:
		return false;
	}
	reader_bytes(reader, left);
	*protocol = next;
	return true;
}

static struct place find_ipv6(const uint8_t *packet, size_t size)
{
	struct place place = {.protocol = packet[6], .at = IPV6_HEADER};
	bool later = false;
	for (unsigned i = 0; i < EXTENSIONS_MAX && !later; i++) {
		struct reader reader = reader_over(packet + place.at, size - place.at);
		if (!skip_extension(&reader, &place.protocol, &later)) {
			place.there = true;
			return place;
		}
		if (reader.failed)
			return place;
		place.at = size - reader.left;
	}
	return place;
}

static struct place find_ipv4(const uint8_t *packet)
{
	return (struct place){
		.protocol = packet[9],
		.at = (size_t)(packet[0] & 0x0f) * 4,
		.there = (get16(packet + 6) & IPV4_OFFSET) == 0,
	};
}

// Offset of the checksum that covers addresses; 0: there is none.
static size_t check_offset(uint8_t protocol, bool ipv4)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
	case PROTOCOL_LITE:
	case PROTOCOL_DCCP:
		return 6;
	case IPPROTO_ICMPV6:
		return ipv4 ? 0 : ICMP_CHECK;
	default:
		return 0;
	}
}

static bool has_header(const uint8_t *packet, size_t size)
{
	if (size >= IPV4_HEADER && packet[0] >> 4 == 4)
		return (packet[0] & 0x0f) * 4u >= IPV4_HEADER;
	return size >= IPV6_HEADER && packet[0] >> 4 == 6;
}

// One end of a packet, or of the beginning of one, that is whole up to and with its IP header. Returns what has changed in all of
// it.
static uint16_t move_end(const struct translations *translations, bool from_site, bool source,
			 uint8_t *packet, size_t size, bool partial)
{
	bool ipv4 = packet[0] >> 4 == 4;
	size_t addr = ipv4 ? (source ? 12 : 16) : (source ? 8 : 24);
	uint16_t delta =
		move_address(translations, from_site, packet + addr, ipv4 ? AF_INET : AF_INET6);
	if (delta == 0)
		return 0;
	uint16_t all = delta;
	struct place place = ipv4 ? find_ipv4(packet) : find_ipv6(packet, size);
	size_t offset = place.there ? check_offset(place.protocol, ipv4) : 0;
	if (ipv4)
		all = sum(all, adjust(packet + IPV4_CHECK, delta, false, false));
	if (offset && place.at + offset + 2 <= size)
		all = sum(all, adjust(packet + place.at + offset, delta, partial,
				      place.protocol == IPPROTO_UDP));
	return all;
}

static bool is_error(const uint8_t *packet, const struct place *place)
{
	uint8_t type = packet[place->at];
	if (packet[0] >> 4 == 6)
		return place->protocol == IPPROTO_ICMPV6 && type < ICMP6_QUERY;
	// RFC 1122, 3.2.2: unreachable, source quench, redirect, time exceeded, parameter problem.
	return place->protocol == IPPROTO_ICMP &&
	       (type == 3 || type == 4 || type == 5 || type == 11 || type == 12);
}

// An error goes the other way than what it quotes: what is the source there is the destination here.
static void move_quoted(const struct translations *translations, bool from_site, uint8_t *packet,
			size_t size)
{
	struct place place = packet[0] >> 4 == 4 ? find_ipv4(packet) : find_ipv6(packet, size);
	if (!place.there || place.at + ICMP_HEADER > size || !is_error(packet, &place))
		return;
	uint8_t *quoted = packet + place.at + ICMP_HEADER;
	size_t left = size - place.at - ICMP_HEADER;
	if (!has_header(quoted, left))
		return;
	uint16_t delta = move_end(translations, from_site, !from_site, quoted, left, false);
	adjust(packet + place.at + ICMP_CHECK, delta, false, false);
}

void translate_from_site(const struct translations *translations, uint8_t *packet, size_t size,
			 bool partial)
{
	move_end(translations, true, true, packet, size, partial);
	move_quoted(translations, true, packet, size);
}

void translate_to_site(const struct translations *translations, uint8_t *packet, size_t size,
		       bool partial)
{
	move_end(translations, false, false, packet, size, partial);
	move_quoted(translations, false, packet, size);
}
