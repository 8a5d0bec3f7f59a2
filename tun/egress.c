// SPDX-License-Identifier: Apache-2.0
// Outbound, in the order a packet travels:
//   1 read_frame     from the TUN queue: a packet, or a super-packet (TSO, USO)
//   2 inner_parse    addresses, protocol, ports, or why not; once for all that is in it
//   3 route_lookup   the session that the destination belongs to
//   4 pass_judge     whether it may go there; once, likewise
//   5 path_of        where its peer is
//   6 terms_leave    how fast that peer may be, and what its prefixes are called there; then cut_piece, one packet of it
//   7 egress_seal    number and seal, straight into the block to send
//   8 egress_flush   one call for all; runs of equal size to one peer leave in one piece (UDP_SEGMENT). What goes in a channel is handed over

#include "tun/egress.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tun/clamp.h"
#include "tun/cut.h"
#include "tun/inner.h"
#include "tun/outlet.h"
#include "tun/pass.h"
#include "tun/path.h"
#include "tun/probe.h"
#include "tun/sender.h"
#include "tun/session.h"
#include "tun/terms.h"
#include "tun/trace.h"
#include "tun/worker.h"

#define EGRESS_BATCH_SIZE (256u << 10) // bytes, before what has arrived has its turn

// Returns the size of what is now at frame + VNET_HEADER; 0: the queue is empty.
static size_t read_frame(struct worker *worker)
{
	ssize_t n = read(worker->tun, worker->frame, VNET_HEADER + VNET_SUPER_MAX);
	return n > (ssize_t)VNET_HEADER ? (size_t)n - VNET_HEADER : 0;
}

enum drop egress_seal(struct worker *worker, struct epoch *epoch, const struct egress_input *input,
		      const struct datagram_peer *to, struct datagram_way *way)
{
	struct datagram_out *out = &worker->out;
	size_t size = input->size + PACKET_OVERHEAD;
	uint8_t *room = datagram_room(out, size);
	if (!room) {
		egress_flush(worker);
		room = datagram_room(out, size);
	}
	enum drop drop = epoch_seal(epoch, worker->number, input->flags, input->inner, input->plain,
				    input->size, room);
	if (drop == DROP_NONE)
		datagram_add(out, to, way, input->ecn, size);
	return drop;
}

static void send_pieces(struct worker *worker, struct session *session, struct epoch *epoch,
			struct path *path, struct cut *cut, unsigned first)
{
	struct egress_input input = {
		.flags = cut->partial ? PACKET_FLAG_PARTIAL : 0,
		.ecn = inner_ecn(cut->packet),
		.inner = true,
	};
	for (unsigned i = first; i < cut->count; i++) {
		enum drop drop = DROP_PATH;
		input.plain = cut_piece(cut, i, &input.size);
		if (path_allows(path, input.size + PACKET_OVERHEAD))
			drop = egress_seal(worker, epoch, &input, &path->peer, &session->way);
		if (drop != DROP_NONE)
			session_count_drop(session, drop);
	}
}

// Whether a super-packet must lose its first piece, so that its sender slows down; a mark does where its flow knows marks. Single
// packets have not made the queue long.
static bool must_lose(struct worker *worker, struct session *session, uint8_t *packet, size_t size,
		      size_t mtu)
{
	uint64_t rtt = atomic_load_explicit(&session->rtt_ns, memory_order_relaxed);
	if (size <= mtu || !backlog_tell(&worker->backlog, rtt, clock_ns()))
		return false;
	return !inner_fold_ecn(packet, ECN_CE);
}

enum drop egress_send(struct worker *worker, struct session *session, uint8_t *frame, size_t size,
		      enum egress_origin origin)
{
	struct cut cut;
	size_t mtu = atomic_load_explicit(&session->mtu, memory_order_relaxed);
	struct epoch *epoch = atomic_load_explicit(&session->tx, memory_order_acquire);
	if (!epoch)
		return DROP_KEYS;
	struct path *path = path_of(session, epoch, worker->number);
	if (!path)
		return DROP_PATH;
	if (size > MTU_LEAST)
		atomic_store_explicit(&session->large_ms, worker->now_ms, memory_order_relaxed);
	bool lose = origin == EGRESS_QUEUED &&
		    must_lose(worker, session, frame + VNET_HEADER, size, mtu);
	enum drop loss = lose ? DROP_CONGESTION : DROP_NONE;
	enum drop drop = cut_begin(&cut, frame, size, mtu);
	if (drop != DROP_NONE)
		return drop;
	drop = terms_leave(session, &cut, &lose);
	if (drop != DROP_NONE && !lose)
		return drop;
	loss = drop != DROP_NONE ? drop : loss;
	if (size <= CLAMP_SIZE_MAX)
		clamp_mss(cut.packet, size, (unsigned)mtu, cut.partial);
	session_note(session, &session->spoke_ms, worker->now_ms);
	if (cut.count > 1)
		probe_batches(worker, session, path);
	send_pieces(worker, session, epoch, path, &cut, loss != DROP_NONE);
	return loss;
}

// Steps 4 to 7.
static enum drop judge_and_send(struct worker *worker, struct session *session,
				const struct inner *inner, size_t size)
{
	uint8_t *packet = worker->frame + VNET_HEADER;
	struct pass pass = {
		.to = session,
		.inner = inner,
		.packet = packet,
		.size = size,
		.packets = vnet_packets(worker->frame, size - inner->payload),
	};
	enum drop drop = pass_judge(worker, &pass);
	if (pass.reject)
		sender_refused(worker, NULL, inner, packet, size);
	if (drop != DROP_NONE)
		return drop;
	drop = egress_send(worker, session, worker->frame, size, EGRESS_QUEUED);
	if (drop == DROP_SIZE)
		sender_too_big(worker, NULL, inner, packet, size,
			       atomic_load_explicit(&session->mtu, memory_order_relaxed));
	return drop;
}

static void take_frame(struct worker *worker, size_t size)
{
	struct inner inner;
	enum drop drop = inner_parse(worker->frame + VNET_HEADER, size, &inner);
	if (drop != DROP_NONE) {
		worker_count_drop(worker, drop);
		return;
	}
	struct session *session =
		route_lookup(dataplane_routes(worker->dataplane), &inner.destination);
	if (!session) {
		worker_count_drop(worker, DROP_ROUTE);
		return;
	}
	drop = judge_and_send(worker, session, &inner, size);
	trace_sent(worker, session, &inner, size, drop);
	if (drop != DROP_NONE)
		session_count_drop(session, drop);
}

void egress_run(struct worker *worker)
{
	size_t bytes = 0;
	for (unsigned i = 0; i < DATAGRAM_BATCH && bytes < EGRESS_BATCH_SIZE; i++) {
		size_t size = read_frame(worker);
		if (size == 0) {
			backlog_empty(&worker->backlog, clock_ns());
			break;
		}
		bytes += size;
		take_frame(worker, size);
	}
	pass_flush(worker);
	egress_flush(worker);
}

static void send_runs(struct worker *worker, unsigned slot, unsigned from, unsigned to)
{
	int fd = atomic_load_explicit(&worker->sockets[slot], memory_order_acquire);
	unsigned refused = fd >= 0 ? datagram_send(fd, &worker->out, from, to) : to - from;
	if (refused)
		atomic_fetch_add_explicit(&worker->drops[DROP_SEND], refused, memory_order_relaxed);
}

void egress_flush(struct worker *worker)
{
	struct datagram_out *out = &worker->out;
	unsigned from = 0;
	while (from < out->count) {
		unsigned slot = out->runs[from].peer.slot;
		unsigned to = from + 1;
		while (to < out->count && out->runs[to].peer.slot == slot)
			to++;
		if (slot == DATAPLANE_CHANNEL)
			outlet_put(worker, out, from, to);
		else
			send_runs(worker, slot, from, to);
		from = to;
	}
	out->count = 0;
	out->used = 0;
}
