// SPDX-License-Identifier: Apache-2.0
// Keeps a flow and its answers on one worker: the TUN queue is a symmetric hash of the inner flow, and the socket is the lane of the
// peer, so that with equal numbers of workers at both ends nothing is handed over between threads.
#pragma once

#include <stddef.h>
#include <stdint.h>

// The hash: the same for both directions of a flow. Of a fragment only the addresses count.
uint32_t steer_hash(const uint8_t *packet, size_t size);
// From now on packets leave by queue steer_hash() % number of queues of this interface (TUNSETSTEERINGEBPF, Linux 4.16). 0 or
// -errno; -EPERM without CAP_BPF or CAP_NET_ADMIN: the kernel goes on to choose.
int steer_queues(int tun);
// Datagrams to the endpoint that `fd` shares with others arrive at the one bound as number (lane % sockets), from 0 on
// (SO_ATTACH_REUSEPORT_CBPF, Linux 4.5). 0 or -errno.
int steer_sockets(int fd, unsigned sockets);
