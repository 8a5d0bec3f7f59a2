// SPDX-License-Identifier: Apache-2.0

#include "tun/transport.h"

#include <netinet/in.h>

#define IPV4_HEADER 20u
#define IPV6_HEADER 40u
#define TCP_HEADER  20u
#define UDP_HEADER  8u
#define TCP_CHECK   16u // offset of the checksum
#define UDP_CHECK   6u

static bool find_tcp(const uint8_t *packet, size_t size, struct transport *found)
{
	if (found->network + TCP_HEADER > size)
		return false;
	size_t tcp = (size_t)(packet[found->network + 12] >> 4) * 4;
	found->headers = found->network + tcp;
	found->check = found->network + TCP_CHECK;
	return tcp >= TCP_HEADER && found->headers <= size;
}

static bool find_udp(const uint8_t *packet, size_t size, struct transport *found)
{
	found->headers = found->network + UDP_HEADER;
	found->check = found->network + UDP_CHECK;
	return found->headers <= size &&
	       get16(packet + found->network + 4) == size - found->network;
}

bool transport_find(const uint8_t *packet, size_t size, struct transport *ret)
{
	struct transport found = {.ipv4 = packet[0] >> 4 == 4};
	if (found.ipv4) {
		bool fragment = (get16(packet + 6) & 0x3fff) != 0;
		found.network = (size_t)(packet[0] & 0x0f) * 4;
		found.protocol = packet[9];
		if (fragment || found.network < IPV4_HEADER)
			return false;
	} else {
		found.network = IPV6_HEADER;
		found.protocol = packet[6];
	}
	bool plain = (found.protocol == IPPROTO_TCP && find_tcp(packet, size, &found)) ||
		     (found.protocol == IPPROTO_UDP && find_udp(packet, size, &found));
	if (plain)
		*ret = found;
	return plain;
}

uint16_t checksum_add(uint16_t start, const uint8_t *data, size_t size)
{
	uint64_t total = start;
	for (; size >= 2; size -= 2, data += 2)
		total += get16(data);
	if (size)
		total += (uint64_t)data[0] << 8;
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return (uint16_t)total;
}

void checksum_correct(uint8_t *check, uint16_t was, uint16_t is)
{
	uint32_t sum = (uint32_t)(uint16_t)~get16(check) + (uint16_t)~was + is;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	put16(check, (uint16_t)~sum);
}

void transport_put_partial(uint8_t *packet, const struct transport *transport, size_t length)
{
	uint8_t rest[4] = {0, transport->protocol, (uint8_t)(length >> 8), (uint8_t)length};
	uint16_t sum =
		transport->ipv4 ? checksum_add(0, packet + 12, 8) : checksum_add(0, packet + 8, 32);
	put16(packet + transport->check, checksum_add(sum, rest, sizeof(rest)));
}

void transport_put_size(uint8_t *packet, size_t network, size_t size)
{
	if (packet[0] >> 4 == 6) {
		put16(packet + 4, size - IPV6_HEADER);
		return;
	}
	put16(packet + 2, size);
	put16(packet + 10, 0);
	put16(packet + 10, (uint16_t)~checksum_add(0, packet, network));
}
