// SPDX-License-Identifier: Apache-2.0
// Where the transport header of an inner packet is, and its checksum (RFC 1071, RFC 9293, RFC 768).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRANSPORT_HEADERS_MAX 120u // of IP and TCP with all options

struct transport {
	bool ipv4;
	uint8_t protocol; // IPPROTO_TCP, IPPROTO_UDP
	size_t network;	  // bytes of IP header
	size_t headers;	  // bytes of IP and transport header
	size_t check;	  // offset of the checksum in the packet
};

// Strict: what is not plainly TCP or UDP in one piece, without IPv6 extension headers and options behind the payload (RFC 9868), is
// none. The packet has been judged by inner_parse().
bool transport_find(const uint8_t *packet, size_t size, struct transport *ret);

static inline uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline void put16(uint8_t *at, size_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static inline void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

// The one's complement sum of RFC 1071, not complemented, over data that continues what `start` is the sum of (an even number of
// bytes).
uint16_t checksum_add(uint16_t start, const uint8_t *data, size_t size);
// A 16-bit word of what the checksum at `check` covers has changed (RFC 1624, eqn. 3).
void checksum_correct(uint8_t *check, uint16_t was, uint16_t is);
// Writes what a partial checksum holds: the sum of the pseudo-header for `length` bytes of transport header and payload
// (RFC 9293, 3.1; RFC 8200, 8.1).
void transport_put_partial(uint8_t *packet, const struct transport *transport, size_t length);
// Makes the IP header say `size`; with IPv4 also its checksum.
void transport_put_size(uint8_t *packet, size_t network, size_t size);
