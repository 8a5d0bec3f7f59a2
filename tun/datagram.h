// SPDX-License-Identifier: Apache-2.0
// UDP sockets: batches in and out, and the local address that a datagram came to, so that an answer leaves from there.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/addr.h"

#define DATAGRAM_BATCH	 64u
#define DATAGRAM_CONTROL 64u // bytes of ancillary data per datagram

// The far end of a datagram, and how to get there.
struct datagram_peer {
	struct endpoint remote;
	struct addr local; // source address to send from; AF_UNSPEC: the kernel chooses
	uint8_t slot;	   // which of a worker's sockets
};

// Datagrams on their way in or out, laid side by side in one block: entry i at data + i * stride.
struct datagram_batch {
	unsigned count;
	size_t stride;
	uint8_t *data;
	size_t sizes[DATAGRAM_BATCH];
	struct datagram_peer peers[DATAGRAM_BATCH];
	// What the kernel wants to see.
	struct mmsghdr messages[DATAGRAM_BATCH];
	struct iovec vectors[DATAGRAM_BATCH];
	struct sockaddr_storage names[DATAGRAM_BATCH];
	_Alignas(8) uint8_t control[DATAGRAM_BATCH][DATAGRAM_CONTROL];
};

// Room for datagrams of up to `size` bytes. 0 or -ENOMEM.
int datagram_batch_init(struct datagram_batch *batch, size_t size);
void datagram_batch_done(struct datagram_batch *batch);

// A non-blocking socket bound to `endpoint` (port 0: any). With `shared` several sockets may have the same endpoint and the
// kernel spreads flows over them (SO_REUSEPORT). DF is set on what is sent, MTU errors are not tracked
// (IP_PMTUDISC_PROBE). Buffers of 4 MiB where the host allows. Returns the descriptor or -errno.
int datagram_open(const struct endpoint *endpoint, bool shared, uint32_t mark);
// The port that the kernel chose. 0 on failure.
uint16_t datagram_port(int fd);

// Fills the batch with what has arrived (slot: `slot`). Returns the count, 0 when there is nothing, -errno.
int datagram_receive(int fd, uint8_t slot, struct datagram_batch *batch);
// Sends entries [from, to), which all leave by `fd`. A datagram that the kernel refuses is skipped. Returns how many were
// refused.
unsigned datagram_send(int fd, struct datagram_batch *batch, unsigned from, unsigned to);
