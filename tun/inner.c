// SPDX-License-Identifier: Apache-2.0

#include "tun/inner.h"

#include <string.h>

#include "base/buffer.h"

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
