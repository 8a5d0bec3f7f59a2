// SPDX-License-Identifier: Apache-2.0
// Admitted connections: one table for all workers, found by either direction with one look-up, bounded per subject and in all.
//
// Theory of operation: a fixed row of buckets, each a list. Workers look things up under RCU, and put new flows in front with one
// compare-and-swap; nobody waits. Only the control thread takes flows out (flows_sweep), in slices, and frees them after a grace
// period. So what stands in a list changes in two places by two kinds of threads and nowhere else, a report can walk the table with
// nothing but a number to remember, and no thread of a library resizes anything meanwhile. A worker that finds that a flow is over marks
// it FLOW_GONE; it counts until it has been swept away, or memory would not be bounded.
//
// Bounds: a peer that has its number of flows begins no more; what the network begins to it may be three quarters of them, so that it
// keeps some for itself. When the table is full, those begin no more that have their share of it already (its size / the number of
// peers), and the sweep takes from them until it is not full; who has less is not refused. So there are at most twice as many as it
// holds, for as long as a sweep takes.
#pragma once

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "tun/flow_key.h"
#include "tun/flow_state.h"
#include "tun/packet.h"

struct flows;
struct subject;
struct subjects;

#define FLOWS_EACH  16384u   // per subject
#define FLOWS_TOTAL 1048576u // in all

// Two cache lines: what finds it and judges its age, and what else its packets need.
struct flow {
	_Atomic(struct flow *) next; // in its bucket
	struct flow_key key;	     // written before it is in the table, as all without _Atomic
	_Atomic uint32_t generation; // of what judged it last
	_Atomic uint32_t seen_s;     // monotonic
	_Atomic uint8_t state;	     // enum flow_state
	_Atomic uint8_t programs;    // flow_programs(), flow_program()
	uint16_t service;	     // what it was judged by: port, or ICMP type << 8 | code

	struct subject *from, *to;	       // NULL: none. They stay while a flow names them
	_Atomic uint64_t packets[2], bytes[2]; // as the first packet, and replies
	_Atomic uint32_t rule;		       // that allowed it last, in flow_program()
	uint32_t began_s;		       // monotonic
	_Atomic uint32_t
		expected[2]; // of TCP: where an RST that goes this way must be; 0: not known
};
static_assert(sizeof(struct flow) <= 128, "two cache lines");

// Bits of enum filter_program that have to allow it, and the one whose rule allowed it last.
static inline unsigned flow_programs(const struct flow *flow)
{
	return atomic_load_explicit(&flow->programs, memory_order_relaxed) & 0x0f;
}

static inline uint8_t flow_program(const struct flow *flow)
{
	return atomic_load_explicit(&flow->programs, memory_order_relaxed) >> 4;
}

// Whose flow it is: the peer that began it, or that the network began it to. Never NULL.
static inline struct subject *flow_payer(const struct flow *flow)
{
	return flow->from ? flow->from : flow->to;
}

struct flow_limits {
	unsigned each, total;
};

// Counts peers by `subjects` (borrowed). NULL: out of memory.
struct flows *flows_new(const struct subjects *subjects);
struct flows *flows_free(struct flows *flows); // no worker may be left; takes NULL, returns NULL
DEFINE_CLEANUP(struct flows *, flows_free);
// Control thread. What is there already stays.
void flows_set_limits(struct flows *flows, const struct flow_limits *limits);
struct flow_limits flows_limits(const struct flows *flows);
size_t flows_count(const struct flows *flows);

// --- workers, under RCU

// Which way a packet goes that is to be found: as the first one of its flow, as a reply, or it does not say.
enum flow_way { FLOW_EITHER, FLOW_FIRST, FLOW_REPLY };

// *ret_reply: it goes the other way than the flow's first packet. NULL: there is none, or it is over.
struct flow *flow_find(struct flows *flows, const struct flow_key *key, enum flow_way way,
		       uint32_t now_s, bool *ret_reply);

struct flow_start {
	struct flow_key key;
	struct subject *from, *to; // at least one
	bool own; // this host sends it to where it dialled: only the size of the table bounds it
	uint16_t service;
	uint8_t tcp_flags;
	uint8_t programs, program;
	uint32_t rule, generation;
	uint32_t now_s;
};
// A new flow, or the one that another worker has just begun with the same key. DROP_STATE: nothing begins so; DROP_FLOWS: too many, or no
// memory.
enum drop flow_begin(struct flows *flows, const struct flow_start *start, struct flow **ret);
// One more packet of it; an RST only where flow_reset_believed() (tun/flow_reset.h).
enum flow_step flow_step(struct flow *flow, bool reply, uint8_t tcp_flags, uint32_t now_s);
void flow_count(struct flow *flow, bool reply, uint64_t packets, uint64_t bytes);
// A newer generation allows it, too.
void flow_judged(struct flow *flow, uint32_t generation, uint8_t program, uint32_t rule);
// It passes nothing any more. false: it did not before.
bool flow_end(struct flow *flow);
bool flow_is_over(const struct flow *flow, uint32_t now_s);

// --- control thread

struct flow_sweep {
	uint32_t now_s;
	unsigned buckets; // to look at; 0: all
	// Called for each that is not over (NULL: nobody is asked). false: it is over from now on.
	bool (*keep)(struct flow *flow, void *data);
	void *data;
};
// Takes out and frees what is over, one slice after the other, round and round; waits for the workers when anything was. Returns true at
// the end of a round.
bool flows_sweep(struct flows *flows, const struct flow_sweep *sweep);
#define FLOWS_BUCKETS (1u << 20)

// Calls `each` for flows that are not over, in the next `buckets` of them from *cursor (0: the beginning) on. false: that was the last.
bool flows_each(const struct flows *flows, size_t *cursor, unsigned buckets, uint32_t now_s,
		void (*each)(const struct flow *flow, void *data), void *data);
