// SPDX-License-Identifier: Apache-2.0
// UDP sockets: batches in and out, many datagrams in one piece where the kernel can (UDP_SEGMENT, UDP_GRO; udp(7)), and the local
// address that a datagram came to, so that an answer leaves from there.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/addr.h"

#define DATAGRAM_BATCH	 64u
#define DATAGRAM_CONTROL 96u // bytes of ancillary data per entry

// The far end of a datagram, and how to get there.
struct datagram_peer {
	struct endpoint remote;
	struct addr local; // source address to send from; AF_UNSPEC: the kernel chooses
	uint8_t slot;	   // which of a worker's sockets; DATAPLANE_CHANNEL: none
	uint32_t session;  // whose channel it is then, by receiver index
};

// What was learned about the way to a peer; shared by all who send there.
struct datagram_way {
	_Atomic bool singly;	  // datagrams must leave one by one
	_Atomic unsigned refused; // times that the kernel refused a run for no known reason
};

// What the kernel wants to see.
struct datagram_call {
	struct mmsghdr messages[DATAGRAM_BATCH];
	struct iovec vectors[DATAGRAM_BATCH];
	struct sockaddr_storage names[DATAGRAM_BATCH];
	_Alignas(8) uint8_t control[DATAGRAM_BATCH][DATAGRAM_CONTROL];
};

// What one call took in: entry i at data + i * DATAGRAM_STRIDE. An entry is one datagram, or several of one peer that the kernel
// joined: then each has `segments[i]` bytes, the last maybe fewer.
#define DATAGRAM_STRIDE 65536u
struct datagram_in {
	unsigned count;
	uint8_t *data;
	size_t sizes[DATAGRAM_BATCH];
	size_t segments[DATAGRAM_BATCH];
	uint8_t ecn[DATAGRAM_BATCH]; // of the outer header (RFC 3168, 5)
	struct datagram_peer peers[DATAGRAM_BATCH];
	struct datagram_call call;
};

// What waits to be sent, side by side in one block, in runs: datagrams of equal size (the last maybe shorter) to one peer leave
// in one piece.
struct datagram_run {
	struct datagram_peer peer;
	struct datagram_way *way; // borrowed; NULL: nothing is known or learned
	uint8_t ecn;
	size_t offset, size; // in the block
	size_t segment;	     // bytes of each datagram but the last
	unsigned count;
	bool closed; // nothing fits behind the last
};
struct datagram_out {
	uint8_t *data;
	size_t used;
	unsigned count;	   // runs
	bool segmentation; // runs of more than one are allowed
	struct datagram_run runs[DATAGRAM_BATCH];
	struct datagram_call call;
};
#define DATAGRAM_OUT_SIZE (256u << 10) // of the block; at least one datagram of any size fits
#define DATAGRAM_RUN_MAX  64u	       // datagrams (UDP_MAX_SEGMENTS of kernels before 6.9)
#define DATAGRAM_RUN_SIZE 65000u       // bytes

// 0 or -ENOMEM.
int datagram_in_init(struct datagram_in *in);
void datagram_in_done(struct datagram_in *in);
int datagram_out_init(struct datagram_out *out);
void datagram_out_done(struct datagram_out *out);

// Where the next datagram of `size` bytes is to be written; NULL: send first.
uint8_t *datagram_room(const struct datagram_out *out, size_t size);
// It was written, and goes to `peer`.
void datagram_add(struct datagram_out *out, const struct datagram_peer *peer,
		  struct datagram_way *way, uint8_t ecn, size_t size);

// A non-blocking socket bound to `endpoint` (port 0: any). With `shared` several sockets may have the same endpoint and the
// kernel spreads flows over them (SO_REUSEPORT). DF is set on what is sent, MTU errors are not tracked
// (IP_PMTUDISC_PROBE). Buffers of 4 MiB where the host allows. Returns the descriptor or -errno.
int datagram_open(const struct endpoint *endpoint, bool shared, uint32_t mark);
// The port that the kernel chose. 0 on failure.
uint16_t datagram_port(int fd);
// Whether the kernel can send runs in one piece, and lets the kernel join what arrives on this socket. false: it cannot.
bool datagram_can_segment(int fd);
bool datagram_enable_joining(int fd);

// Takes what has arrived (slot: `slot`). Returns the number of entries, 0 when there is nothing, -errno.
int datagram_receive(int fd, uint8_t slot, struct datagram_in *in);
// Sends runs [from, to), which all leave by `fd`. A run that the kernel refuses in one piece is sent again one by one, and what
// that says about the way is remembered. What is refused even so is skipped. Returns how many datagrams were.
unsigned datagram_send(int fd, struct datagram_out *out, unsigned from, unsigned to);
