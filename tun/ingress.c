// SPDX-License-Identifier: Apache-2.0
// Inbound, in the order a packet travels:
//   1 datagram_receive  a batch from one socket; each entry may be a run of datagrams (UDP_GRO)
//   2 find_epoch        receiver index -> session -> epoch; lane; the worker that owns it
//   3 open_one          window check, AEAD, window set; opened to where it will lie if it can be joined to what came before
//   4 note_peer         the peer lives; it has the new keys; it may have moved
//   5 probe_take        link messages end here
//   6 judge             the session's terms (tun/terms.h); the inner source must belong to the session; then flow and filter (tun/pass.h)
//   7 forward           from peer to peer: into another session of ours, sent with the next flush; or else
//   8 join_take         neighbours of one flow become one super-packet, written into the TUN queue
// Until 3 has succeeded nothing is changed but counters of drops, and never is anything answered.

#include "tun/ingress.h"

#include <endian.h>
#include <string.h>

#include "tun/clamp.h"
#include "tun/egress.h"
#include "tun/inner.h"
#include "tun/pass.h"
#include "tun/path.h"
#include "tun/probe.h"
#include "tun/sender.h"
#include "tun/session.h"
#include "tun/terms.h"
#include "tun/trace.h"
#include "tun/worker.h"

struct arrival {
	struct worker *worker;
	const uint8_t *data;
	size_t size;
	const struct datagram_peer *peer;
	uint8_t ecn;
	struct packet_header header;
	uint32_t index;
	uint64_t counter;
	struct session *session;
	struct epoch *epoch;
	struct lane_rx *lane;
	uint8_t *plain;
	size_t plain_size;
	struct session *to; // that it goes on to; NULL: into the TUN queue
	enum drop onward;   // what became of it there
};

static enum drop take_traced(struct arrival *arrival, struct trace *trace);

static enum drop read_header(struct arrival *arrival)
{
	uint32_t index;
	uint64_t counter;
	if (arrival->size < PACKET_OVERHEAD)
		return DROP_SHORT;
	memcpy(&arrival->header, arrival->data, sizeof(arrival->header));
	if (arrival->header.type != PACKET_DATA ||
	    (arrival->header.flags & ~PACKET_FLAG_PARTIAL) != 0)
		return DROP_TYPE;
	if (arrival->size > PACKET_OVERHEAD + arrival->worker->mtu)
		return DROP_SIZE;
	memcpy(&index, arrival->header.index, sizeof(index));
	memcpy(&counter, arrival->header.counter, sizeof(counter));
	arrival->index = be32toh(index);
	arrival->counter = be64toh(counter);
	return DROP_NONE;
}

static enum drop find_epoch(struct arrival *arrival)
{
	arrival->session = dataplane_find(arrival->worker->dataplane, arrival->index);
	if (!arrival->session)
		return DROP_INDEX;
	uint8_t number = arrival->header.epoch;
	struct epoch *epoch = atomic_load_explicit(
		&arrival->session->epochs[number % SESSION_EPOCHS], memory_order_acquire);
	if (!epoch || (uint8_t)epoch->options.number != number)
		return DROP_EPOCH;
	arrival->epoch = epoch;
	arrival->lane = epoch_rx_lane(epoch, arrival->header.lane, arrival->worker->number);
	return arrival->lane ? DROP_NONE : DROP_LANE;
}

static enum drop open_one(struct arrival *arrival)
{
	struct lane_rx *lane = arrival->lane;
	size_t sealed = arrival->size - sizeof(arrival->header);
	if (!window_check(&lane->window, arrival->counter))
		return DROP_REPLAY;
	if (!seal_open(lane->seal, &arrival->header, arrival->counter,
		       arrival->data + sizeof(arrival->header), sealed, arrival->plain)) {
		atomic_fetch_add_explicit(&arrival->epoch->forged, 1, memory_order_relaxed);
		return DROP_TAG;
	}
	window_set(&lane->window, arrival->counter);
	arrival->plain_size = sealed - PACKET_TAG;
	atomic_store_explicit(&lane->highest, lane->window.highest, memory_order_relaxed);
	atomic_store_explicit(&lane->opened,
			      atomic_load_explicit(&lane->opened, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	return DROP_NONE;
}

static bool same_peer(const struct datagram_peer *a, const struct datagram_peer *b)
{
	return a->slot == b->slot && endpoint_equal(&a->remote, &b->remote);
}

// Whether a packet from elsewhere moves the path. Between UDP and the channel it is the initiator that chooses: nothing that comes moves
// his own; and what he asks or answers over UDP while his packets go in the channel does not mean that they do not.
static bool may_move(const struct arrival *arrival, const struct path *path)
{
	bool from_channel = arrival->peer->slot == DATAPLANE_CHANNEL;
	if (!path || path_in_channel(path) == from_channel)
		return true;
	if (arrival->session->initiator)
		return false;
	bool link = arrival->plain_size && arrival->plain[0] >> 4 == 0;
	return from_channel || !link || arrival->plain[0] == LINK_KEEPALIVE;
}

static void note_move(struct arrival *arrival)
{
	struct session *session = arrival->session;
	struct datagram_peer peer = *arrival->peer;
	// A socket to dial from follows the host's own routes, also after its address has changed.
	if (peer.slot <= DATAPLANE_DIAL_6)
		memset(&peer.local, 0, sizeof(peer.local));
	struct path *path = path_move(session, arrival->header.lane, &peer, arrival->size);
	if (!path)
		return;
	atomic_store_explicit(&session->batch.next_ms, 0, memory_order_relaxed);
	atomic_store_explicit(&session->moved, true, memory_order_relaxed);
	if (!atomic_load_explicit(&path->confirmed, memory_order_relaxed))
		probe_path(arrival->worker, session, path);
}

static void note_peer(struct arrival *arrival)
{
	struct session *session = arrival->session;
	struct epoch *tx = atomic_load_explicit(&session->tx, memory_order_acquire);
	uint32_t number = arrival->epoch->options.number;
	atomic_store_explicit(&session->heard_ms, arrival->worker->now_ms, memory_order_relaxed);
	if (!session->initiator && (!tx || tx->options.number < number)) {
		// The initiator sends with the new epoch: it has its receive keys.
		if (atomic_compare_exchange_strong(&session->tx, &tx, arrival->epoch))
			tx = arrival->epoch;
	}
	// Only the newest packet of the newest epoch says where the peer is.
	if (!tx || number < tx->options.number || arrival->counter < arrival->lane->window.highest)
		return;
	struct path *path =
		atomic_load_explicit(&session->paths[arrival->header.lane], memory_order_acquire);
	if (!path || !same_peer(&path->peer, arrival->peer)) {
		if (may_move(arrival, path))
			note_move(arrival);
		return;
	}
	if (atomic_load_explicit(&path->doubted, memory_order_relaxed))
		atomic_store_explicit(&path->doubted, false, memory_order_relaxed);
	if (atomic_load_explicit(&path->confirmed, memory_order_relaxed))
		return;
	atomic_fetch_add_explicit(&path->in, arrival->size, memory_order_relaxed);
	uint64_t probed = atomic_load_explicit(&path->probed_ms, memory_order_relaxed);
	if (arrival->worker->now_ms >= probed + PROBE_AGAIN_MS)
		probe_path(arrival->worker, session, path);
}

// Whose the destination is, where a packet goes from peer to peer. With a link at one end the kernel decides: what is routed into a link
// may be wide, with this host's own addresses and networks within. The packet before it in this run may have told already.
static enum drop find_ends(const struct arrival *arrival, const struct inner *inner,
			   struct session **ret_to)
{
	const struct routes *routes = dataplane_routes(arrival->worker->dataplane);
	if (pass_knows(arrival->worker, arrival->session, inner, ret_to))
		return DROP_NONE;
	if (route_lookup(routes, &inner->source) != arrival->session)
		return DROP_SOURCE;
	if (arrival->session->initiator)
		return DROP_NONE;
	struct session *to = route_lookup(routes, &inner->destination);
	*ret_to = to && !to->initiator ? to : NULL;
	return DROP_NONE;
}

static enum drop judge(struct arrival *arrival, struct inner *inner)
{
	struct pass pass = {
		.from = arrival->session,
		.inner = inner,
		.packet = arrival->plain,
		.size = arrival->plain_size,
		.packets = 1,
	};
	enum drop drop = inner_parse(arrival->plain, arrival->plain_size, inner);
	if (drop == DROP_NONE)
		drop = terms_arrive(arrival->session, arrival->plain, arrival->plain_size, inner,
				    arrival->header.flags & PACKET_FLAG_PARTIAL);
	if (drop == DROP_NONE)
		drop = find_ends(arrival, inner, &pass.to);
	if (drop == DROP_NONE)
		drop = pass_judge(arrival->worker, &pass);
	if (pass.reject)
		sender_refused(arrival->worker, arrival->session, inner, arrival->plain,
			       arrival->plain_size);
	if (drop != DROP_NONE)
		return drop;
	arrival->to = pass.ruled ? pass.to : NULL;
	if (!inner_fold_ecn(arrival->plain, arrival->ecn))
		return DROP_CONGESTION;
	// What a handshake promises here, the far end will send there.
	if (arrival->plain_size <= CLAMP_SIZE_MAX)
		clamp_mss(arrival->plain, arrival->plain_size,
			  atomic_load_explicit(&arrival->session->mtu, memory_order_relaxed),
			  arrival->header.flags & PACKET_FLAG_PARTIAL);
	return DROP_NONE;
}

// The short way, to a session of ours: what the kernel would do with it on the way is done here.
static enum drop forward(struct arrival *arrival, const struct inner *inner)
{
	struct worker *worker = arrival->worker;
	struct session *from = arrival->session, *to = arrival->to;
	uint8_t *packet = arrival->plain;
	size_t size = arrival->plain_size;
	bool partial = arrival->header.flags & PACKET_FLAG_PARTIAL;
	struct transport transport;
	if (partial && !transport_find(packet, size, &transport))
		return DROP_MALFORMED;
	if (!inner_lower_ttl(packet)) {
		sender_expired(worker, from, inner, packet, size);
		return DROP_TTL;
	}
	// There is room for it before the packet: join_place().
	uint8_t *frame = packet - VNET_HEADER;
	vnet_put(frame, partial ? &transport : NULL);
	enum drop drop = egress_send(worker, to, frame, size, EGRESS_ARRIVED);
	if (drop == DROP_SIZE)
		sender_too_big(worker, from, inner, packet, size,
			       atomic_load_explicit(&to->mtu, memory_order_relaxed));
	arrival->onward = drop;
	if (drop != DROP_NONE)
		session_count_drop(to, drop);
	return DROP_NONE;
}

// Steps 7 and 8. What leaves by another way does not stay where it was opened.
static enum drop take_on(struct arrival *arrival, const struct inner *inner)
{
	struct join *join = &arrival->worker->join;
	bool partial = arrival->header.flags & PACKET_FLAG_PARTIAL;
	if (!arrival->to)
		return join_take(join, arrival->plain_size, partial) ? DROP_NONE : DROP_MALFORMED;
	enum drop drop = forward(arrival, inner);
	join_undo(join);
	return drop;
}

static void count_packet(const struct arrival *arrival)
{
	struct lane_rx *lane = arrival->lane;
	uint64_t packets = atomic_load_explicit(&lane->packets, memory_order_relaxed);
	uint64_t bytes = atomic_load_explicit(&lane->bytes, memory_order_relaxed);
	atomic_store_explicit(&lane->packets, packets + 1, memory_order_relaxed);
	atomic_store_explicit(&lane->bytes, bytes + arrival->plain_size, memory_order_relaxed);
	session_note(arrival->session, &arrival->session->received_ms, arrival->worker->now_ms);
}

// Steps 4 to 8. The packet lies where join_place() wanted it.
static enum drop take_packet(struct arrival *arrival)
{
	struct worker *worker = arrival->worker;
	struct inner inner;
	note_peer(arrival);
	enum drop drop = DROP_MALFORMED;
	if (arrival->plain_size && arrival->plain[0] >> 4 == 0) {
		drop = probe_take(worker, arrival->session, arrival->peer, arrival->plain,
				  arrival->plain_size);
		join_undo(&worker->join);
		return drop;
	}
	if (arrival->plain_size)
		drop = judge(arrival, &inner);
	if (drop != DROP_NONE) {
		join_undo(&worker->join);
		return drop;
	}
	drop = take_on(arrival, &inner);
	if (drop == DROP_NONE)
		count_packet(arrival);
	return drop;
}

// Steps 3 to 8, on the worker that owns the lane.
static enum drop open_and_take(struct arrival *arrival)
{
	struct join *join = &arrival->worker->join;
	arrival->plain = join_place(join);
	enum drop drop = open_one(arrival);
	struct trace *trace = trace_of(arrival->worker);
	if (drop == DROP_NONE)
		return trace ? take_traced(arrival, trace) : take_packet(arrival);
	join_undo(join);
	return drop;
}

// As take_packet(), told to whoever traces it. Its headers are read before, because they do not stay.
static enum drop take_traced(struct arrival *arrival, struct trace *trace)
{
	struct worker *worker = arrival->worker;
	struct inner inner;
	bool read = arrival->plain_size > 0 && arrival->plain[0] >> 4 != 0 &&
		    inner_parse(arrival->plain, arrival->plain_size, &inner) == DROP_NONE;
	struct trace_packet packet = {.from = arrival->session, .size = arrival->plain_size};
	if (read) {
		packet.inner = &inner;
		packet.to = route_lookup(dataplane_routes(worker->dataplane), &inner.destination);
	}
	// Our own addresses are within what the gateway routes.
	if (packet.to == packet.from && packet.from->initiator)
		packet.to = NULL;
	enum drop drop = take_packet(arrival);
	packet.drop = drop == DROP_NONE ? arrival->onward : drop;
	if (read || drop != DROP_NONE)
		trace_note(worker, trace, &packet);
	return drop;
}

void ingress_datagram(struct worker *worker, const struct ingress_input *input)
{
	struct arrival arrival = {
		.worker = worker,
		.data = input->data,
		.size = input->size,
		.peer = input->peer,
		.ecn = input->ecn,
	};
	enum drop drop = read_header(&arrival);
	if (drop == DROP_NONE)
		drop = find_epoch(&arrival);
	if (drop == DROP_NONE && arrival.lane->owner != worker->number) {
		// Its window and context belong to another worker. A packet that was handed over once already met a new epoch.
		struct ingress_input onward = *input;
		onward.handed_over = true;
		if (!input->handed_over &&
		    dataplane_hand_over(worker->dataplane, arrival.lane->owner, &onward))
			return;
		drop = DROP_QUEUE;
	}
	if (drop == DROP_NONE)
		drop = open_and_take(&arrival);
	if (drop == DROP_NONE)
		return;
	if (arrival.session && arrival.plain_size == 0)
		trace_unopened(worker, arrival.session, drop);
	if (arrival.session)
		session_count_drop(arrival.session, drop);
	else
		worker_count_drop(worker, drop);
}

static void take_entry(struct worker *worker, const struct datagram_in *in, unsigned i)
{
	struct ingress_input input = {.peer = &in->peers[i], .ecn = in->ecn[i]};
	size_t at = 0;
	do {
		size_t left = in->sizes[i] - at;
		input.data = in->data + (size_t)i * DATAGRAM_STRIDE + at;
		input.size = left < in->segments[i] ? left : in->segments[i];
		ingress_datagram(worker, &input);
		at += input.size;
	} while (at < in->sizes[i]);
}

void ingress_run(struct worker *worker, unsigned slot)
{
	struct datagram_in *in = &worker->in;
	int fd = atomic_load_explicit(&worker->sockets[slot], memory_order_acquire);
	if (fd < 0 || datagram_receive(fd, (uint8_t)slot, in) <= 0)
		return;
	for (unsigned i = 0; i < in->count; i++)
		take_entry(worker, in, i);
	ingress_flush(worker);
	egress_flush(worker);
}

void ingress_flush(struct worker *worker)
{
	struct join *join = &worker->join;
	pass_flush(worker);
	join_flush(join);
	if (join->refused)
		worker_lacks(worker, OFFLOAD_JOIN);
	if (join->failed == 0)
		return;
	atomic_fetch_add_explicit(&worker->drops[DROP_DEVICE], join->failed, memory_order_relaxed);
	join->failed = 0;
}
