// SPDX-License-Identifier: Apache-2.0
// Packets on their way into a TUN queue: neighbours of one TCP or UDP flow are joined, so that the kernel takes them in one piece
// (virtio 1.2, 5.1.6; the rules are those of the kernel's tcp_gro_receive() and udp_gro_receive()). Order within a flow is kept;
// a packet of another flow that cannot grow overtakes what grows.
//
// A packet is opened where it will lie if it fits: behind the payload that is there, its headers over the last bytes of it, which
// are kept aside meanwhile. So the AEAD is the only copy.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tun/cut.h"

#define JOIN_SEGMENTS_MAX 64u // of UDP (UDP_MAX_SEGMENTS of kernels before 6.9)

struct join {
	int fd;		 // TUN queue, borrowed
	bool tcp, udp;	 // which are joined
	bool refused;	 // the kernel refused what was joined: neither is any more
	uint64_t failed; // packets that the kernel did not take
	uint8_t *buffer;
	// The group that grows.
	uint8_t *frame; // its vnet header
	size_t size;	// of its packet; 0: there is no group
	unsigned count; // packets in it
	size_t segment; // payload of the first
	uint32_t next;	// sequence number that fits (TCP)
	struct transport transport;
	uint8_t head
		[TRANSPORT_HEADERS_MAX]; // headers of the first: in the frame, the next may lie over them
	uint8_t *place;			 // what join_place() said
	uint8_t saved[VNET_HEADER + TRANSPORT_HEADERS_MAX];
};

// Joins whatever the kernel takes. 0 or -ENOMEM.
int join_init(struct join *join, int fd);
void join_done(struct join *join);

// Where the next packet is to be opened: room for PACKET_INNER_MAX + PACKET_TAG bytes. It must be followed by join_take() or
// join_undo().
uint8_t *join_place(struct join *join);
// What was opened there does not count.
void join_undo(struct join *join);
// Takes the packet of `size` bytes that was opened there, which inner_parse() accepted. `partial`: its transport checksum is.
// false: partial, but nobody knows where; the packet does not count.
bool join_take(struct join *join, size_t size, bool partial);
// Nothing more comes for now: writes what has been joined.
void join_flush(struct join *join);
