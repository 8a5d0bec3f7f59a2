// SPDX-License-Identifier: Apache-2.0

#include "unit/inner_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

size_t inner_ipv4(uint8_t *packet, uint8_t protocol, uint16_t fragment, const uint8_t *options,
		  size_t option_size, const uint8_t *bytes, size_t size)
{
	size_t header = 20 + option_size, total = header + size;
	memset(packet, 0, header);
	packet[0] = (uint8_t)(0x40 | header / 4);
	packet[2] = (uint8_t)(total >> 8);
	packet[3] = (uint8_t)total;
	packet[5] = 7;
	packet[6] = (uint8_t)(fragment >> 8);
	packet[7] = (uint8_t)fragment;
	packet[8] = 64;
	packet[9] = protocol;
	memcpy(packet + 12, (uint8_t[]){10, 1, 2, 3, 192, 0, 2, 9}, 8);
	if (option_size)
		memcpy(packet + 20, options, option_size);
	if (size)
		memcpy(packet + header, bytes, size);
	return total;
}

size_t inner_ipv6(uint8_t *packet, uint8_t next, const uint8_t *bytes, size_t size)
{
	memset(packet, 0, 40);
	packet[0] = 0x60;
	packet[4] = (uint8_t)(size >> 8);
	packet[5] = (uint8_t)size;
	packet[6] = next;
	packet[7] = 64;
	packet[8] = packet[24] = 0xfd;
	packet[21] = 1;
	packet[23] = 3;
	packet[37] = 2;
	packet[39] = 9;
	if (size)
		memcpy(packet + 40, bytes, size);
	return 40 + size;
}

enum drop inner_judge(const uint8_t *packet, size_t size, struct inner *ret)
{
	_cleanup_(freep) uint8_t *copy = malloc(size ? size : 1);
	if (!copy)
		abort();
	if (size)
		memcpy(copy, packet, size);
	return inner_parse(copy, size, ret);
}
