// SPDX-License-Identifier: Apache-2.0
// What the kernel can do for the data plane in one piece. Each is asked for at start, used where it is there, and can be switched
// off.
#pragma once

enum offload {
	OFFLOAD_TSO,	 // TUN queues give TCP super-packets (TUNSETOFFLOAD)
	OFFLOAD_USO,	 // and UDP ones; kernel 6.2
	OFFLOAD_JOIN,	 // TUN queues take super-packets
	OFFLOAD_SEGMENT, // sockets send runs of datagrams in one piece (UDP_SEGMENT)
	OFFLOAD_GRO,	 // sockets receive them so (UDP_GRO)
	OFFLOAD_STEER,	 // queues and sockets are chosen by flow and lane (tun/steer.h)
	OFFLOAD_COUNT,
};
#define OFFLOAD_BIT(offload) (1u << (offload))
#define OFFLOAD_ALL	     ((1u << OFFLOAD_COUNT) - 1)

// "tso", "uso", "join", "segment", "gro", "steer": the word in configuration and status.
const char *offload_name(enum offload offload);
