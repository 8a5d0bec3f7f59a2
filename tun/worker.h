// SPDX-License-Identifier: Apache-2.0
// One packet thread, run to completion: a TUN queue, UDP sockets, buffers, counters. It takes no lock, and waits for
// nothing but packets.
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/pile.h"
#include "tun/backlog.h"
#include "tun/datagram.h"
#include "tun/dataplane.h"
#include "tun/join.h"
#include "tun/offload.h"
#include "tun/pass.h"

struct notes;
struct trace;

struct worker_task {
	struct pile_item item;
	enum link_message_type
		link; // to send to the session's peer; 0: `data` is a datagram that another worker received
	uint32_t index; // receiver index of the session
	struct datagram_peer peer;
	uint8_t ecn;
	bool by_udp;	  // a probe: wherever packets go now
	bool handed_over; // by another worker
	size_t size;	  // of the datagram, or of an MTU probe
	uint8_t data[];
};

#define WORKER_INBOX_MAX 1024u
#define WORKER_INBOX_CHANNEL_MAX \
	512u // there may be so many before what came in a channel is refused

struct worker {
	struct dataplane *dataplane;
	unsigned number;
	size_t mtu;
	int tun;		   // borrowed from the host
	_Atomic unsigned offloads; // OFFLOAD_BIT()s of those that work
	int epoll;
	int wake; // eventfd
	pthread_t thread;
	_Atomic bool stop;
	_Atomic int sockets[DATAPLANE_SLOTS]; // -1: none; opened and closed by the control thread
	uint64_t now_ms;		      // taken once per round
	struct datagram_out out;
	struct datagram_in in;
	uint64_t answered_ms;	// when a sender on this side was last told something
	struct backlog backlog; // of the TUN queue
	struct pass_memory passes;
	struct join join;	       // on its way into the TUN queue
	uint8_t *frame;		       // out of it: vnet header and packet or super-packet
	struct notes *notes;	       // for the control thread (tun/note.h)
	_Atomic(struct trace *) trace; // what to note of packets (tun/trace.h); NULL: nothing
	struct pile inbox;	       // of tasks
	_Atomic unsigned inbox_count;
	_Atomic uint64_t drops[DROP_LAST + 1]; // that belong to no session
};

struct worker_options {
	unsigned number;
	int tun; // queue, borrowed
	size_t mtu;
	unsigned offloads; // OFFLOAD_BIT()s to use where they are there
	int noted;	   // eventfd of the control thread, borrowed
};

// Starts the thread. 0 or -errno.
int worker_start(struct dataplane *dataplane, const struct worker_options *options,
		 struct worker **ret);
// Stops the thread and closes the sockets. Takes NULL, returns NULL.
struct worker *worker_stop(struct worker *worker);

// Control thread: gives the worker a socket (taken) in a free slot, or takes it away (closed after a grace period).
int worker_add_socket(struct worker *worker, unsigned slot, int fd);
void worker_remove_socket(struct worker *worker, unsigned slot);

// Any thread. Takes the task; false (and the task is freed): `max` wait already.
bool worker_post(struct worker *worker, struct worker_task *task, unsigned max);

// An offload does not work here; status will say so.
void worker_lacks(struct worker *worker, enum offload offload);

static inline void worker_count_drop(struct worker *worker, enum drop drop)
{
	atomic_fetch_add_explicit(&worker->drops[drop], 1, memory_order_relaxed);
}
