// SPDX-License-Identifier: Apache-2.0

#include "tun/path.h"

#include <stdlib.h>
#include <openssl/rand.h>

#include "pki/tls.h"
#include "tun/session.h"

struct path *path_new(const struct datagram_peer *peer, bool confirmed)
{
	struct path *path = calloc(1, sizeof(*path));
	if (!path)
		return NULL;
	path->peer = *peer;
	atomic_init(&path->confirmed, confirmed);
	if (RAND_bytes_ex(tls_library(), (unsigned char *)&path->secret, sizeof(path->secret), 0) ==
	    1)
		return path;
	free(path);
	return NULL;
}

void path_replace(struct session *session, unsigned lane, struct path *path)
{
	struct path *old =
		atomic_exchange_explicit(&session->paths[lane], path, memory_order_acq_rel);
	atomic_store_explicit(&session->newest_lane, lane, memory_order_release);
	if (old)
		dataplane_retire_path(session->dataplane, old);
}

struct path *path_move(struct session *session, unsigned lane, const struct datagram_peer *peer,
		       size_t size)
{
	bool confirmed = peer->slot == DATAPLANE_CHANNEL ||
			 session_knows_address(session, &peer->remote.addr);
	struct path *path = path_new(peer, confirmed);
	if (!path)
		return NULL;
	atomic_init(&path->in, size);
	path_replace(session, lane, path);
	for (unsigned i = 0; i < PACKET_LANES_MAX; i++) {
		struct path *other = i == lane ? NULL : atomic_load(&session->paths[i]);
		if (other)
			atomic_store_explicit(&other->doubted, true, memory_order_relaxed);
	}
	return path;
}

struct path *path_of(const struct session *session, const struct epoch *epoch, unsigned worker)
{
	unsigned lane = worker % epoch->options.peer_lanes;
	struct path *path = atomic_load_explicit(&session->paths[lane], memory_order_acquire);
	if (path && !atomic_load_explicit(&path->doubted, memory_order_relaxed))
		return path;
	lane = atomic_load_explicit(&session->newest_lane, memory_order_acquire);
	struct path *newest = atomic_load_explicit(&session->paths[lane], memory_order_acquire);
	if (!path || atomic_load_explicit(&newest->confirmed, memory_order_relaxed))
		return newest;
	return path;
}

bool path_allows(struct path *path, size_t size)
{
	if (atomic_load_explicit(&path->confirmed, memory_order_relaxed))
		return true;
	uint64_t in = atomic_load_explicit(&path->in, memory_order_relaxed);
	uint64_t out = atomic_load_explicit(&path->out, memory_order_relaxed);
	if (out + size > UNCONFIRMED_FACTOR * in)
		return false;
	atomic_store_explicit(&path->out, out + size, memory_order_relaxed);
	return true;
}
