// SPDX-License-Identifier: Apache-2.0
// Outbound, in the order a packet travels:
//   1 read_packet    from the TUN queue, until it is empty or the batch is full
//   2 inner_parse    addresses, or why not
//   3 route_lookup   the session that the destination belongs to
//   4 choose_path    where its peer is
//   5 seal_to        number and seal, straight into the batch
//   6 egress_flush   one call for a run of datagrams that leave by the same socket

#include "tun/egress.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tun/inner.h"
#include "tun/session.h"
#include "tun/worker.h"

// Returns the size of the inner packet, now at frame + WORKER_VNET_HEADER; 0: the queue is empty.
static size_t read_packet(struct worker *worker)
{
	ssize_t n = read(worker->tun, worker->frame, WORKER_VNET_HEADER + PACKET_INNER_MAX);
	return n > (ssize_t)WORKER_VNET_HEADER ? (size_t)n - WORKER_VNET_HEADER : 0;
}

static struct path *choose_path(const struct session *session, const struct epoch *epoch,
				unsigned worker)
{
	unsigned lane = worker % epoch->options.peer_lanes;
	struct path *path = atomic_load_explicit(&session->paths[lane], memory_order_acquire);
	if (path)
		return path;
	lane = atomic_load_explicit(&session->newest_lane, memory_order_acquire);
	return atomic_load_explicit(&session->paths[lane], memory_order_acquire);
}

// Until the far end has answered from there, an address gets no more than a few times what came from it (RFC 9000, 8).
static bool path_allows(struct path *path, size_t size)
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

static enum drop seal_to(struct worker *worker, struct epoch *epoch, bool inner,
			 const uint8_t *plain, size_t size, const struct datagram_peer *peer)
{
	struct datagram_batch *out = &worker->out;
	if (out->count == DATAGRAM_BATCH)
		egress_flush(worker);
	unsigned at = out->count;
	if (size + PACKET_OVERHEAD > out->stride)
		return DROP_SIZE;
	enum drop drop = epoch_seal(epoch, worker->number, 0, inner, plain, size,
				    out->data + at * out->stride);
	if (drop != DROP_NONE)
		return drop;
	out->sizes[at] = size + PACKET_OVERHEAD;
	out->peers[at] = *peer;
	out->count = at + 1;
	return DROP_NONE;
}

static enum drop send_inner(struct worker *worker, struct session *session, size_t size)
{
	if (size > atomic_load_explicit(&session->mtu, memory_order_relaxed))
		return DROP_SIZE;
	struct epoch *epoch = atomic_load_explicit(&session->tx, memory_order_acquire);
	if (!epoch)
		return DROP_KEYS;
	struct path *path = choose_path(session, epoch, worker->number);
	if (!path || !path_allows(path, size + PACKET_OVERHEAD))
		return DROP_PATH;
	atomic_store_explicit(&session->spoke_ms, worker->now_ms, memory_order_relaxed);
	return seal_to(worker, epoch, true, worker->frame + WORKER_VNET_HEADER, size, &path->peer);
}

static void send_packet(struct worker *worker, size_t size)
{
	struct inner inner;
	if (!inner_parse(worker->frame + WORKER_VNET_HEADER, size, &inner)) {
		worker_count_drop(worker, DROP_MALFORMED);
		return;
	}
	struct session *session =
		route_lookup(dataplane_routes(worker->dataplane), &inner.destination);
	if (!session) {
		worker_count_drop(worker, DROP_ROUTE);
		return;
	}
	enum drop drop = send_inner(worker, session, size);
	if (drop != DROP_NONE)
		session_count_drop(session, drop);
}

bool egress_run(struct worker *worker)
{
	for (unsigned i = 0; i < DATAGRAM_BATCH; i++) {
		size_t size = read_packet(worker);
		if (size == 0) {
			egress_flush(worker);
			return false;
		}
		send_packet(worker, size);
	}
	egress_flush(worker);
	return true;
}

static void send_link(struct worker *worker, struct session *session,
		      const struct datagram_peer *to, const struct link_message *message)
{
	struct epoch *epoch = atomic_load_explicit(&session->tx, memory_order_acquire);
	enum drop drop = DROP_KEYS;
	if (epoch)
		drop = seal_to(worker, epoch, false, (const uint8_t *)message, sizeof(*message),
			       to);
	if (drop != DROP_NONE)
		session_count_drop(session, drop);
}

void egress_probe(struct worker *worker, struct session *session, struct path *path)
{
	struct link_message message = {.type = LINK_PROBE};
	uint64_t token = path->secret ^ clock_ns();
	memcpy(message.token, &token, sizeof(token));
	atomic_store_explicit(&path->probed_ms, worker->now_ms, memory_order_relaxed);
	send_link(worker, session, &path->peer, &message);
}

void egress_answer(struct worker *worker, struct session *session, const struct datagram_peer *to,
		   enum link_message_type type, uint64_t token, uint16_t size)
{
	struct link_message message = {.type = (uint8_t)type};
	uint16_t big = htobe16(size);
	memcpy(message.size, &big, sizeof(big));
	memcpy(message.token, &token, sizeof(token));
	send_link(worker, session, to, &message);
}

void egress_link(struct worker *worker, struct session *session, enum link_message_type type)
{
	struct link_message message = {.type = (uint8_t)type};
	const struct epoch *epoch = atomic_load_explicit(&session->tx, memory_order_acquire);
	if (!epoch)
		return;
	struct path *path = choose_path(session, epoch, worker->number);
	if (!path)
		return;
	if (type == LINK_PROBE)
		egress_probe(worker, session, path);
	else
		send_link(worker, session, &path->peer, &message);
	egress_flush(worker);
}

void egress_flush(struct worker *worker)
{
	struct datagram_batch *out = &worker->out;
	unsigned from = 0;
	while (from < out->count) {
		unsigned slot = out->peers[from].slot;
		unsigned to = from + 1;
		while (to < out->count && out->peers[to].slot == slot)
			to++;
		int fd = atomic_load_explicit(&worker->sockets[slot], memory_order_acquire);
		unsigned refused = fd >= 0 ? datagram_send(fd, out, from, to) : to - from;
		if (refused)
			atomic_fetch_add_explicit(&worker->drops[DROP_SEND], refused,
						  memory_order_relaxed);
		from = to;
	}
	out->count = 0;
}
