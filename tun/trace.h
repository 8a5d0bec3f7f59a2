// SPDX-License-Identifier: Apache-2.0
// What becomes of single packets, for somebody who looks for a fault: the next ones that match are noted (tun/note.h), with how far they
// came. At most one trace at a time; where there is none, a packet costs one look at a pointer.
#pragma once

#include <stdatomic.h>
#include <stddef.h>

#include "tun/inner.h"
#include "tun/packet.h"
#include "tun/selection.h"
#include "tun/worker.h"

struct session;

// The stages of a packet, in this order. What is dropped is dropped in one of them.
enum trace_stage {
	TRACE_RECEIVED, // by the socket, or the TUN device
	TRACE_OPENED,	// its session and epoch found, its tag checked
	TRACE_PARSED,	// its headers read
	TRACE_SOURCE,	// its source address belongs to who sent it
	TRACE_ROUTED,	// its destination found
	TRACE_JUDGED,	// by its flow, or by the policy
	TRACE_SENT,	// sealed, or written to the TUN device
};
#define TRACE_STAGES 7u
const char *trace_stage_name(enum trace_stage stage); // "opened"
enum trace_stage trace_stage_of(enum drop drop);      // where that happens

struct trace {
	struct selection selection; // either way; owned
	_Atomic unsigned left;	    // packets
};

struct trace *trace_new(struct selection *selection, unsigned count); // takes; NULL: out of memory
struct trace *trace_free(struct trace *trace);			      // takes NULL, returns NULL

struct trace_packet {
	const struct session *from, *to; // NULL: this host, or a network behind it
	const struct inner *inner;	 // NULL: it was not read
	size_t size;			 // of the inner packet; 0: not known
	enum drop drop;			 // DROP_NONE: it went on
};

// --- workers, under RCU

// NULL: nothing is traced.
static inline struct trace *trace_of(const struct worker *worker)
{
	return atomic_load_explicit(&worker->trace, memory_order_acquire);
}
void trace_note(struct worker *worker, struct trace *trace, const struct trace_packet *packet);

// One from the TUN device.
static inline void trace_sent(struct worker *worker, const struct session *to,
			      const struct inner *inner, size_t size, enum drop drop)
{
	struct trace *trace = trace_of(worker);
	struct trace_packet packet = {.to = to, .inner = inner, .size = size, .drop = drop};
	if (trace)
		trace_note(worker, trace, &packet);
}

// One that names a session, but could not be opened.
static inline void trace_unopened(struct worker *worker, const struct session *from, enum drop drop)
{
	struct trace *trace = trace_of(worker);
	struct trace_packet packet = {.from = from, .drop = drop};
	if (trace)
		trace_note(worker, trace, &packet);
}
