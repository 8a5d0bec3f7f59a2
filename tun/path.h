// SPDX-License-Identifier: Apache-2.0
// Where packets to a peer go. Each lane of the peer has a path of its own: a translation of addresses on the way (NAT) may keep one
// of them and forget another. When one lane comes from elsewhere, the paths of the others are in doubt until they are heard from:
// what they would carry takes the newest path meanwhile, so that nothing goes to where a translation used to lead.
//
// Threads: replaced by the worker that opens the lane and by the control thread; read by all workers under RCU.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tun/datagram.h"
#include "tun/dataplane.h"

struct epoch;
struct session;

// Immutable but for the atomics.
struct path {
	struct datagram_peer peer;
	_Atomic bool confirmed; // the far end has shown that it gets what is sent there
	_Atomic bool doubted; // another lane came from elsewhere, and this one was not heard since
	_Atomic uint64_t in, out;   // bytes from and to it while it is not confirmed
	_Atomic uint64_t probed_ms; // when the last probe left
	// Token of a probe = this xor the monotonic nanoseconds at which it left: nothing to remember, and a peer that is not there
	// cannot know it.
	uint64_t secret;
	struct path *next; // in the list of the retired
};

// Whether it leads into the session's channel, and not over UDP.
static inline bool path_in_channel(const struct path *path)
{
	return path->peer.slot == DATAPLANE_CHANNEL;
}

// A new path to `peer`; NULL: out of memory.
struct path *path_new(const struct datagram_peer *peer, bool confirmed);
// Replaces a lane's path (taken); the old one is freed by the control thread later.
void path_replace(struct session *session, unsigned lane, struct path *path);
// The peer sent `size` bytes on this lane from elsewhere. Returns the new path, NULL: out of memory, the old one stays.
struct path *path_move(struct session *session, unsigned lane, const struct datagram_peer *peer,
		       size_t size);
// The path on which worker number `worker` sends in this epoch. NULL: none.
struct path *path_of(const struct session *session, const struct epoch *epoch, unsigned worker);
// Whether `size` bytes may be sent there now, and if so counts them: until the far end has answered from there, an address gets no
// more than a few times what came from it (RFC 9000, 8).
bool path_allows(struct path *path, size_t size);
