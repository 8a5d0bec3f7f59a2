// SPDX-License-Identifier: Apache-2.0
// What was read from a TUN queue, cut into packets that fit the path: a super-packet of TCP or UDP that the kernel hands over in
// one piece (TSO, USO; virtio 1.2, 5.1.6), a TCP packet too large for a path that has shrunk, or an IPv4 packet that may be
// fragmented (RFC 791, 3.2).
//
// Transport checksums stay partial all the way: the AEAD protects them, and the kernel at the far end completes them if the packet
// goes on to a wire. Payloads are not moved: the headers of each piece are written into the bytes before its payload, which
// belonged to the piece before and have been sealed by then.
#pragma once

#include "tun/packet.h"
#include "tun/transport.h"

// struct virtio_net_hdr_v1, which stands before every packet on a TUN queue.
#define VNET_GSO_UDP   5u // VIRTIO_NET_HDR_GSO_UDP_L4, newer than linux/virtio_net.h of Debian 12
#define VNET_HEADER    12u
#define VNET_SUPER_MAX 65535u

// Writes the vnet header of one packet; `partial`: where its partial checksum is, NULL: it has none.
void vnet_put(uint8_t *frame, const struct transport *partial);
// How many packets are in what has `payload` bytes behind its headers.
unsigned vnet_packets(const uint8_t *frame, size_t payload);

enum cut_kind { CUT_WHOLE, CUT_TCP, CUT_UDP, CUT_FRAGMENTS };

struct cut {
	enum cut_kind kind;
	uint8_t *packet; // borrowed; changed by cutting
	size_t size;
	bool partial;	// transport checksums are partial
	unsigned count; // of pieces
	size_t headers; // bytes that every piece begins with
	size_t segment; // bytes of payload per piece
	struct transport transport;
	uint8_t template[TRANSPORT_HEADERS_MAX];
};

// Judges vnet header and packet (`size` bytes at `frame` + VNET_HEADER, which inner_parse() accepted). Pieces will have at most
// `mtu` bytes. DROP_MALFORMED: the headers do not fit together. DROP_SIZE: too large, and it may not be cut.
enum drop cut_begin(struct cut *cut, uint8_t *frame, size_t size, size_t mtu);
// The headers of the packet were changed since, in place, but not their sizes.
void cut_refresh(struct cut *cut);
// Piece `position`, to be asked for in order, once each; valid until the next.
uint8_t *cut_piece(struct cut *cut, unsigned position, size_t *ret_size);
