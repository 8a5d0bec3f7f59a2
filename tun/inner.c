// SPDX-License-Identifier: Apache-2.0

#include "tun/inner.h"

#include <string.h>

#include "base/buffer.h"
#include "tun/transport.h"

#define IPV4_HEADER 20u
#define IPV6_HEADER 40u

static void read_addr(struct reader *reader, uint8_t family, struct addr *ret)
{
	size_t size = family == AF_INET ? 4 : 16;
	const uint8_t *bytes = reader_bytes(reader, size);
	memset(ret, 0, sizeof(*ret));
	ret->family = family;
	if (bytes)
		memcpy(ret->bytes, bytes, size);
}

static bool parse_ipv4(struct reader *reader, size_t size, struct inner *ret)
{
	size_t header = (size_t)(reader_u8(reader) & 0x0fu) * 4;
	reader_u8(reader);
	size_t total = reader_u16(reader);
	reader_bytes(reader, 8);
	read_addr(reader, AF_INET, &ret->source);
	read_addr(reader, AF_INET, &ret->destination);
	return !reader->failed && header >= IPV4_HEADER && header <= size && total == size;
}

static bool parse_ipv6(struct reader *reader, size_t size, struct inner *ret)
{
	reader_u32(reader);
	size_t payload = reader_u16(reader);
	reader_u16(reader);
	read_addr(reader, AF_INET6, &ret->source);
	read_addr(reader, AF_INET6, &ret->destination);
	return !reader->failed && payload + IPV6_HEADER == size;
}

bool inner_parse(const uint8_t *packet, size_t size, struct inner *ret)
{
	struct reader reader = reader_over(packet, size);
	if (size == 0)
		return false;
	switch (packet[0] >> 4) {
	case 4:
		return parse_ipv4(&reader, size, ret);
	case 6:
		return parse_ipv6(&reader, size, ret);
	default:
		return false;
	}
}

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
