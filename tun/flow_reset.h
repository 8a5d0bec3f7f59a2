// SPDX-License-Identifier: Apache-2.0
// Whether an RST is the word of who it says.
//
// Theory of operation: an end believes an RST that is exactly where it has received everything before it, answers one that is a little
// further, to be told again, and ignores others (RFC 5961, 3.2). So where an end has acknowledged last is where an RST to it must be.
// Nobody else moves that: one end of a flow at least is a peer, whose packets come out of its session, and what a third one makes up in
// the name of the other end moves only where an RST of the peer's must be, which nobody can send for it. Hence no window needs to be
// followed, as net/netfilter/nf_conntrack_proto_tcp.c does, nor the length of what is sent: a packet costs but one number, once in a run.
//
// What was acknowledged may run behind what has been received. Where more than FLOW_RESET_WINDOW is on its way it is acknowledged in
// pieces, and each of these that meets nobody any more brings another RST, the last one exactly where it must be. Who knows addresses and
// ports but sees nothing needs 2^15 of them in the mean, and has then but shortened the silence that the flow survives to the 10 s of
// FLOW_CLOSED: an RST lets nothing begin. One that is not believed passes, for its receiver to judge, and changes nothing.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tun/inner.h"

struct flow;

#define FLOW_RESET_WINDOW 65536u

// What a TCP header says.
struct flow_segment {
	uint8_t flags;
	uint32_t sequence, acknowledged;
};

// Workers, under RCU. Where an RST in answer to the newest packet that went this way must be: what it acknowledges, or its own number
// and one more where it is the first SYN.
void flow_reset_expect(struct flow *flow, bool reply, uint32_t number);
// Of an RST that goes this way.
bool flow_reset_believed(const struct flow *flow, bool reply, const struct flow_segment *reset);
