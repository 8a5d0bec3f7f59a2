// SPDX-License-Identifier: Apache-2.0
// Sealed packets on their way from workers to the control thread, which sends them in channels where UDP does not get through
// (PROTOCOL.md, Paths). Workers push, take no lock and wait for nobody; what finds no room is dropped and counted.
//
// Room is counted in bytes until a packet has left the queue of its session: so many for each session, and no session gets more than
// a part of what all others have left free. Who does not read cannot take what another one needs.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/pile.h"

struct dataplane;
struct datagram_out;
struct outlet;
struct session;
struct worker;

#define OUTLET_MAX	   (64u << 20)	// bytes of all sessions
#define OUTLET_SESSION_MAX (512u << 10) // bytes of one
#define OUTLET_SHARE	   8u		// the most that one session gets of what is free: 1 / this

// A run of packets of `segment` bytes each, the last maybe fewer.
struct parcel {
	struct pile_item item; // on its way to the control thread
	struct parcel *next;   // in the queue of its session
	uint32_t session;      // in whose channel, by receiver index
	uint64_t at_ms;	       // since when it waits, monotonic
	size_t segment;
	size_t offset, size; // of what is left in `data`
	uint8_t data[];
};

struct outlet *outlet_new(void);		   // NULL: out of memory or descriptors
struct outlet *outlet_free(struct outlet *outlet); // takes NULL, returns NULL
DEFINE_CLEANUP(struct outlet *, outlet_free);

// A worker: takes runs [from, to) over, whose peers are channels. What finds no room is counted as a drop of its session.
void outlet_put(struct worker *worker, const struct datagram_out *out, unsigned from, unsigned to);

// The control thread. The descriptor (an eventfd) is readable while something is to be taken.
int outlet_fd(const struct outlet *outlet);
// Takes parcels for SLICES_NS at most and gives each to session_channel_put() of its session; what is left keeps the descriptor readable.
void outlet_run(struct outlet *outlet, struct dataplane *dataplane);
// `size` bytes of the session's do not wait any more.
void outlet_left(struct outlet *outlet, struct session *session, size_t size);
