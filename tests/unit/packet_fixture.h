// SPDX-License-Identifier: Apache-2.0
// Inner TCP and UDP packets, built byte by byte in the dumbest way: the reference for what the fast code does to headers.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_FIXTURE_MAX 65536u

struct packet_spec {
	bool ipv4;
	bool udp;
	bool partial; // the transport checksum is of the pseudo-header only
	uint8_t tos, ttl;
	bool dont_fragment;
	uint16_t id;	     // IPv4
	uint32_t flow_label; // IPv6
	uint8_t host;	     // last byte of both addresses
	uint16_t source, destination;
	uint32_t sequence, acknowledgement;
	uint8_t flags;
	uint16_t window, urgent;
	uint8_t options; // bytes of TCP options, a multiple of 4, at most 40
	uint8_t option;	 // what they are filled with
};

// Writes the packet with `payload` (NULL: none); returns its size.
size_t packet_build(const struct packet_spec *spec, const uint8_t *payload, size_t payload_size,
		    uint8_t *out);
// Bytes of IP and transport header.
size_t packet_headers(const struct packet_spec *spec);
// The vnet header of 12 bytes that a kernel would put before it. `segment` 0: one packet.
void packet_vnet(const struct packet_spec *spec, size_t segment, uint8_t out[12]);
// Whether the IPv4 header checksum, and the full transport checksum, are right.
bool packet_sums_right(const uint8_t *packet, size_t size);
// A generator of its own: the same on every machine.
uint32_t packet_random(uint64_t *state);
