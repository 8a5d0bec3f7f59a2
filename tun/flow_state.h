// SPDX-License-Identifier: Apache-2.0
// What a flow is doing, as far as one can tell from the outside, and how long it may be silent then: the states, transitions and
// times of Linux' connection tracking (net/netfilter/nf_conntrack_proto_tcp.c, _udp.c, _icmp.c, _generic.c of 6.1), so that what is used
// to such a firewall finds the same here. Sequence numbers are not followed, both ends do that; only an RST has to be where its
// receiver would believe it (tun/flow_reset.h).
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum flow_state {
	FLOW_UNREPLIED, // all protocols but TCP
	FLOW_REPLIED,
	FLOW_SYN_SENT, // TCP (RFC 9293, 3.3.2)
	FLOW_SYN_RECEIVED,
	FLOW_ESTABLISHED,
	FLOW_FIN_WAIT,
	FLOW_CLOSE_WAIT,
	FLOW_LAST_ACK,
	FLOW_TIME_WAIT,
	FLOW_CLOSED,	  // by RST
	FLOW_SYN_CROSSED, // both ends sent SYN
	FLOW_GONE,	  // it passes nothing any more
	FLOW_STATE_LAST = FLOW_GONE,
};

enum flow_step {
	FLOW_PASS,
	FLOW_BAD,   // no such packet belongs here
	FLOW_AGAIN, // the old connection is over, and the other end begins a new one
};

// The state after the first packet of a flow. `tcp_flags`: byte 13 of the TCP header; 0 with other protocols. A connection that has
// begun elsewhere is taken up. FLOW_BAD: nothing begins so.
enum flow_step flow_state_first(uint8_t protocol, uint8_t tcp_flags, enum flow_state *ret);
// The state after one more, which went the way of the first or, `reply`, the other one.
enum flow_step flow_state_next(enum flow_state state, bool reply, uint8_t tcp_flags,
			       enum flow_state *ret);
// Seconds of silence after which it is over.
unsigned flow_lifetime_s(uint8_t protocol, enum flow_state state);
// Packets went both ways.
bool flow_is_replied(enum flow_state state);
// "established": the word in reports.
const char *flow_state_name(enum flow_state state);
