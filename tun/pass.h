// SPDX-License-Identifier: Apache-2.0
// Whether a packet may go on, for both directions: by its flow, or else by the filter (tun/guard.h), and then it makes a flow.
//   1 the flow of the packet before it in this run, of which most packets are
//   2 an ICMP error: by the flow of the packet that it quotes (RFC 5508, 4.2); it makes none and keeps none alive
//   3 a flow of either direction; one of an older generation is judged again, with its first packet
//   4 a later fragment: as the first one (tun/fragment.h), while the flow of that one is there and allowed
//   5 the filter. On a gateway's sessions the rules, on what comes over a link the inbound rules; where both apply, both must allow it.
//     What this host itself sends over its link is always allowed.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "tun/flow_key.h"
#include "tun/packet.h"

struct filter;
struct flow;
struct inner;
struct session;
struct worker;

// One packet. At least one of the sessions is there.
struct pass {
	struct session *from, *to; // NULL: this host, or a network behind it
	const struct inner *inner;
	const uint8_t *packet;
	size_t size;
	unsigned packets; // that it will be cut into
	bool ruled;	  // set: there is a filter
	bool reject;	  // set with DROP_POLICY: its sender is to be told
};

// Of a worker: the flow that it has in hand, within one run of packets.
struct pass_memory {
	const struct filter *filter; // NULL: nothing is remembered
	struct session *from, *to;
	struct flow_key key; // as the packets go
	uint16_t service;    // of the packets
	struct flow *flow;
	bool reply;
	// Not yet told to the flow.
	uint64_t packets, bytes;
	uint32_t expected; // of TCP: where an RST in answer must be; 0: not known
};

// Workers, under RCU. DROP_NONE: it may. DROP_POLICY, DROP_FLOWS, DROP_STATE; DROP_QUOTE: an ICMP error about no flow; DROP_ROUTE: it
// would go back to where it comes from; DROP_SOURCE: it has the address of a peer and did not come from there; DROP_FRAGMENT,
// DROP_OVERLAP.
enum drop pass_judge(struct worker *worker, struct pass *pass);
// Whether the packet before in this run came from the same session, with the same addresses: then its source is that session's, and
// `ret_to` what its destination is.
bool pass_knows(const struct worker *worker, const struct session *from, const struct inner *inner,
		struct session **ret_to);
// The run is over: counts what passed, and forgets.
void pass_flush(struct worker *worker);
