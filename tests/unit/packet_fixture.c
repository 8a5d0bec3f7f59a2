// SPDX-License-Identifier: Apache-2.0

#include "unit/packet_fixture.h"

#include <string.h>

#define TCP 6u
#define UDP 17u

static size_t ip_size(const struct packet_spec *spec)
{
	return spec->ipv4 ? 20 : 40;
}

static size_t transport_size(const struct packet_spec *spec)
{
	return spec->udp ? 8 : 20u + spec->options;
}

size_t packet_headers(const struct packet_spec *spec)
{
	return ip_size(spec) + transport_size(spec);
}

static void be16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void be32(uint8_t *at, uint32_t value)
{
	be16(at, value >> 16);
	be16(at + 2, value & 0xffff);
}

// The sum of RFC 1071 over any bytes, folded after every step.
static uint32_t sum(uint32_t total, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		total += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
		total = (total & 0xffff) + (total >> 16);
	}
	return total;
}

static uint32_t pseudo(const uint8_t *packet, size_t ip, uint8_t protocol, size_t length)
{
	uint8_t rest[4] = {0, protocol, (uint8_t)(length >> 8), (uint8_t)length};
	uint32_t total = ip == 20 ? sum(0, packet + 12, 8) : sum(0, packet + 8, 32);
	return sum(total, rest, sizeof(rest));
}

static void build_ip(const struct packet_spec *spec, size_t size, uint8_t *out)
{
	uint8_t protocol = spec->udp ? UDP : TCP;
	if (!spec->ipv4) {
		be32(out, 6u << 28 | (uint32_t)spec->tos << 20 | spec->flow_label);
		be16(out + 4, (uint32_t)size - 40);
		out[6] = protocol;
		out[7] = spec->ttl;
		memcpy(out + 8, "\xfd\x90\0\0\0\0\0\1\0\0\0\0\0\0\0\1", 16);
		memcpy(out + 24, "\xfd\x90\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 16);
		out[23] = out[39] = spec->host;
		return;
	}
	out[0] = 0x45;
	out[1] = spec->tos;
	be16(out + 2, (uint32_t)size);
	be16(out + 4, spec->id);
	be16(out + 6, spec->dont_fragment ? 0x4000 : 0);
	out[8] = spec->ttl;
	out[9] = protocol;
	memcpy(out + 12, "\x0a\x5a\1\1\x0a\x5a\0\2", 8);
	out[15] = out[19] = spec->host;
	be16(out + 10, ~sum(0, out, 20) & 0xffff);
}

size_t packet_build(const struct packet_spec *spec, const uint8_t *payload, size_t payload_size,
		    uint8_t *out)
{
	size_t ip = ip_size(spec), headers = packet_headers(spec), size = headers + payload_size;
	uint8_t *transport = out + ip;
	memset(out, 0, headers);
	build_ip(spec, size, out);
	be16(transport, spec->source);
	be16(transport + 2, spec->destination);
	if (spec->udp) {
		be16(transport + 4, (uint32_t)(size - ip));
	} else {
		be32(transport + 4, spec->sequence);
		be32(transport + 8, spec->acknowledgement);
		transport[12] = (uint8_t)((20 + spec->options) / 4 << 4);
		transport[13] = spec->flags;
		be16(transport + 14, spec->window);
		be16(transport + 18, spec->urgent);
		memset(transport + 20, spec->option, spec->options);
	}
	if (payload)
		memcpy(out + headers, payload, payload_size);
	uint32_t total = pseudo(out, ip, spec->udp ? UDP : TCP, size - ip);
	if (!spec->partial) {
		total = ~sum(total, transport, size - ip) & 0xffff;
		if (spec->udp && total == 0)
			total = 0xffff;
	}
	be16(transport + (spec->udp ? 6 : 16), total);
	return size;
}

void packet_vnet(const struct packet_spec *spec, size_t segment, uint8_t out[12])
{
	uint16_t fields[4] = {0, (uint16_t)segment, (uint16_t)ip_size(spec), spec->udp ? 6 : 16};
	memset(out, 0, 12);
	if (!spec->partial)
		return;
	out[0] = 1; // VIRTIO_NET_HDR_F_NEEDS_CSUM
	if (segment)
		out[1] = spec->udp ? 5 : spec->ipv4 ? 1 : 4; // UDP_L4, TCPV4, TCPV6
	memcpy(out + 2, fields, sizeof(fields));
}

bool packet_sums_right(const uint8_t *packet, size_t size)
{
	size_t ip = packet[0] >> 4 == 4 ? 20 : 40;
	uint8_t protocol = ip == 20 ? packet[9] : packet[6];
	if (ip == 20 && sum(0, packet, 20) != 0xffff)
		return false;
	return sum(pseudo(packet, ip, protocol, size - ip), packet + ip, size - ip) == 0xffff;
}

uint32_t packet_random(uint64_t *state)
{
	// splitmix64 (Steele, Lea, Flood 2014)
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)((z ^ z >> 31) >> 16);
}
