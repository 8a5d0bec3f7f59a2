// SPDX-License-Identifier: Apache-2.0
// Checksums are one's complement sums of 16-bit words, so that a change anywhere is a difference that can be added to each of them:
// `delta` below, never complemented.

#include "tun/translate.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "tun/inner.h"
#include "tun/transport.h"

#define IPV4_CHECK    10u
#define ICMP_CHECK    2u
#define PROTOCOL_DCCP 33u
#define PROTOCOL_LITE 136u // UDP-Lite

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

// Puts the address into the other prefix. false: it lies in none.
static bool move_address(const struct translations *translations, bool from_site, struct addr *addr)
{
	for (unsigned i = 0; i < translations->count; i++) {
		const struct translation *one = &translations->list[i];
		const struct prefix *is = from_site ? &one->from : &one->to;
		const struct prefix *becomes = from_site ? &one->to : &one->from;
		if (!prefix_contains(is, addr))
			continue;
		size_t whole = is->length / 8;
		memcpy(addr->bytes, becomes->addr.bytes, whole);
		if (is->length % 8) {
			uint8_t mask = (uint8_t)(0xff00u >> is->length % 8);
			addr->bytes[whole] = (uint8_t)((becomes->addr.bytes[whole] & mask) |
						       (addr->bytes[whole] & ~mask));
		}
		return true;
	}
	return false;
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

// One end of a packet, or of the beginning of one. Returns what has changed in all of it.
static uint16_t move_end(const struct translations *translations, bool from_site, bool source,
			 uint8_t *packet, size_t size, struct inner *inner, bool partial)
{
	bool ipv4 = packet[0] >> 4 == 4;
	struct addr *addr = source ? &inner->source : &inner->destination;
	struct addr before = *addr;
	if (!move_address(translations, from_site, addr))
		return 0;
	size_t width = ADDR_BYTES(addr);
	uint16_t delta = sum((uint16_t)~checksum_add(0, before.bytes, width),
			     checksum_add(0, addr->bytes, width));
	memcpy(packet + (ipv4 ? (source ? 12 : 16) : (source ? 8 : 24)), addr->bytes, width);
	uint16_t all = delta;
	size_t offset = inner->part == INNER_LATER ? 0 : check_offset(inner->protocol, ipv4);
	if (ipv4)
		all = sum(all, adjust(packet + IPV4_CHECK, delta, false, false));
	if (offset && inner->transport + offset + 2 <= size)
		all = sum(all, adjust(packet + inner->transport + offset, delta, partial,
				      inner->protocol == IPPROTO_UDP));
	return all;
}

// An error goes the other way than what it quotes: what is the source there is the destination here.
static void move_quoted(const struct translations *translations, bool from_site, uint8_t *packet,
			size_t size, const struct inner *inner, struct inner *quote)
{
	size_t at = inner->payload;
	uint16_t delta =
		move_end(translations, from_site, !from_site, packet + at, size - at, quote, false);
	adjust(packet + inner->transport + ICMP_CHECK, delta, false, false);
}

static void move_all(const struct translations *translations, bool from_site, uint8_t *packet,
		     size_t size, struct inner *inner, bool partial)
{
	struct inner quote;
	// While both say the same of the other end.
	bool quoted = inner->error && inner_quote(packet, size, inner, &quote) == DROP_NONE;
	move_end(translations, from_site, from_site, packet, size, inner, partial);
	if (quoted)
		move_quoted(translations, from_site, packet, size, inner, &quote);
}

void translate_from_site(const struct translations *translations, uint8_t *packet, size_t size,
			 struct inner *inner, bool partial)
{
	move_all(translations, true, packet, size, inner, partial);
}

void translate_to_site(const struct translations *translations, uint8_t *packet, size_t size,
		       struct inner *inner, bool partial)
{
	move_all(translations, false, packet, size, inner, partial);
}
