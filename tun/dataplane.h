// SPDX-License-Identifier: Apache-2.0
// What all workers share: the routes, the table of receiver indices, the sockets by slot, and the workers themselves.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "tun/packet.h"
#include "tun/route.h"

struct dataplane;
struct error;
struct filter;
struct guard;
struct host;
struct ingress_input;
struct note;
struct outlet;
struct path;
struct session;
struct trace;
struct worker;

#define DATAPLANE_SLOTS \
	18u // sockets per worker: two to dial from (IPv4, IPv6), the others to listen on
#define DATAPLANE_DIAL_4     0u
#define DATAPLANE_DIAL_6     1u
#define DATAPLANE_CHANNEL    DATAPLANE_SLOTS // in place of a socket: frames of the session's channel
#define DATAPLANE_INDEX_BITS 16u	     // slots of the index table; the other bits are random

struct dataplane_options {
	struct host *host; // borrowed; has a TUN queue per worker
	unsigned workers;  // 1..PACKET_LANES_MAX
	unsigned mtu;	   // largest inner packet
	uint32_t mark;	   // of outer packets
	unsigned offloads; // OFFLOAD_BIT()s to use where they are there: JOIN, SEGMENT, GRO, STEER
};

// Starts the workers. Returns a new object; the error says what to do.
int dataplane_new(const struct dataplane_options *options, struct dataplane **ret,
		  struct error *error);
// Stops the workers and closes the sockets. No session may be left. Takes NULL, returns NULL.
struct dataplane *dataplane_free(struct dataplane *dataplane);
DEFINE_CLEANUP(struct dataplane *, dataplane_free);

// Listens on these UDP endpoints and no others; new ones are bound before old ones are closed. On failure nothing changed.
int dataplane_listen(struct dataplane *dataplane, const struct endpoint *endpoints, unsigned count,
		     struct error *error);

struct routes *dataplane_routes(struct dataplane *dataplane);
struct guard *dataplane_guard(struct dataplane *dataplane);
// What rules from now on: guard_set_filter(), with thousands of sessions after guard_prepare(). Before the first one everything passes.
int dataplane_set_filter(struct dataplane *dataplane, struct filter *filter);
unsigned dataplane_workers(const struct dataplane *dataplane);
// Number of workers over which a peer's lanes arrive in order: lane n at worker n % this. 0: they arrive anywhere.
unsigned dataplane_arrival_workers(const struct dataplane *dataplane, bool initiator);
// OFFLOAD_BIT()s of those that work now.
unsigned dataplane_offloads(const struct dataplane *dataplane);
// Counts of all workers that belong to no session.
void dataplane_drops(const struct dataplane *dataplane, uint64_t drops[DROP_LAST + 1]);

// What the workers noted (tun/note.h), for the control thread. The descriptor is readable while something is to be taken.
int dataplane_noted(const struct dataplane *dataplane);
// Takes at most `max` notes, from each worker in turn. What is left keeps the descriptor readable.
void dataplane_take_notes(struct dataplane *dataplane, unsigned max,
			  void (*each)(const struct note *note, void *data), void *data);

// From now on packets are traced so (taken; NULL: not at all); waits for the workers, and frees what was before.
void dataplane_set_trace(struct dataplane *dataplane, struct trace *trace);
const struct trace *dataplane_trace(const struct dataplane *dataplane); // borrowed; NULL: none

// What workers have to send in channels, for the control thread (tun/outlet.h). Borrowed.
struct outlet *dataplane_outlet(struct dataplane *dataplane);

// Index table. Adding chooses the session's index. -ENOSPC.
int dataplane_add_session(struct dataplane *dataplane, struct session *session);
void dataplane_remove_session(struct dataplane *dataplane, struct session *session);
// Workers, under RCU. NULL: none.
struct session *dataplane_find(struct dataplane *dataplane, uint32_t index);

// Asks every worker to send a link message to the peer of the session with this index.
void dataplane_send_link(struct dataplane *dataplane, uint32_t index, enum link_message_type type);
// Asks one worker to send an MTU probe of `size` bytes of plaintext to that peer, and a small one on the same path.
void dataplane_probe_mtu(struct dataplane *dataplane, uint32_t index, size_t size);
// Asks one worker to ask for an answer over UDP, while packets go in the channel (session_channel.c).
void dataplane_ask_udp(struct dataplane *dataplane, uint32_t index);
// Wakes worker number `worker` to take a datagram that another one received, or that came in a channel; copies it. false: its inbox is full.
bool dataplane_hand_over(struct dataplane *dataplane, unsigned worker,
			 const struct ingress_input *input);
// Sessions at rest that have packets again: any thread says which; the control thread calls session_stirred() of some of them, while
// the descriptor is readable.
void dataplane_stir(struct dataplane *dataplane, const struct session *session);
int dataplane_stirred(const struct dataplane *dataplane);
void dataplane_take_stirred(struct dataplane *dataplane);
// Paths that workers replaced, freed at the next call of dataplane_collect() on the control thread, which also tends the flows
// (guard_tend()): once a second.
void dataplane_retire_path(struct dataplane *dataplane, struct path *path);
void dataplane_collect(struct dataplane *dataplane);
