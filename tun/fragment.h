// SPDX-License-Identifier: Apache-2.0
// Which fragments may pass: the first one has the ports and gets the verdict, later ones follow it.
//
// A fragment that comes before the first one, or again, or over another one, is dropped, and in the last case so are all of its packet
// from then on (RFC 5722; RFC 8200, 4.5): what the far end would make of them is not known here. Nothing is kept but who, verdict,
// flow and ranges. A verdict does not last as long as a packet may take: who asks about a later fragment is told the flow of its first
// one, and looks whether that is still there and allowed. One table for all workers; each peer has a place in it by a secret hash, so
// that no flood takes the room of all, and no more than half of a place. Fragments are rare: a short spin lock per place does no harm.
#pragma once

#include <stdint.h>

#include "base/cleanup.h"
#include "tun/flow_key.h"
#include "tun/inner.h"

enum fragment_limits {
	FRAGMENT_MS = 30000,  // for all of a packet to come (net.ipv4.ipfrag_time)
	FRAGMENT_WHOLES = 64, // packets on their way in one place
	FRAGMENT_SHARE = 32,  // of one peer; one more pushes out its oldest
	FRAGMENT_RANGES = 16, // pieces of one packet with holes between them
	FRAGMENT_PLACES = 256,
};

struct fragments;

// NULL: out of memory, or the kernel has no random bytes.
struct fragments *fragments_new(void);
struct fragments *fragments_free(struct fragments *fragments); // takes NULL, returns NULL
DEFINE_CLEANUP(struct fragments *, fragments_free);

// A fragment with INNER_FIRST, on which the policy said `verdict` (DROP_NONE: allowed) because of the flow `key`, as the packet goes
// (of an ICMP error: as what it quotes goes). `peer`: whose share it counts against, the number of the subject that sent it, or, from
// the network, that it goes to. `now_ms`: monotonic. Returns what happens to it: `verdict`, or DROP_OVERLAP: there was one already.
enum drop fragment_first(struct fragments *fragments, unsigned peer, const struct inner *inner,
			 const struct flow_key *key, enum drop verdict, uint64_t now_ms);
// A fragment with INNER_LATER. Returns the verdict on its first one, with DROP_NONE also `ret_key`; DROP_FRAGMENT: there was none;
// DROP_OVERLAP.
enum drop fragment_later(struct fragments *fragments, unsigned peer, const struct inner *inner,
			 uint64_t now_ms, struct flow_key *ret_key);
