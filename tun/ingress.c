// SPDX-License-Identifier: Apache-2.0
// Inbound, in the order a packet travels:
//   1 datagram_receive  a batch from one socket
//   2 find_epoch        receiver index -> session -> epoch; lane; the worker that owns it
//   3 open_one          window check, AEAD, window set
//   4 note_peer         the peer lives; it has the new keys; it may have moved
//   5 take_link         link messages end here
//   6 judge             the inner source must belong to the session
//   7 write_packet      into the TUN queue
// Until 3 has succeeded nothing is changed but counters of drops, and never is anything answered.

#include "tun/ingress.h"

#include <endian.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tun/egress.h"
#include "tun/inner.h"
#include "tun/session.h"
#include "tun/worker.h"

#define RTT_MAX_NS UINT64_C(30000000000)

struct arrival {
	struct worker *worker;
	const uint8_t *data;
	size_t size;
	const struct datagram_peer *peer;
	bool handed_over;
	struct packet_header header;
	uint32_t index;
	uint64_t counter;
	struct session *session;
	struct epoch *epoch;
	struct lane_rx *lane;
	uint8_t *plain;
	size_t plain_size;
};

static enum drop read_header(struct arrival *arrival)
{
	uint32_t index;
	uint64_t counter;
	if (arrival->size < PACKET_OVERHEAD)
		return DROP_SHORT;
	memcpy(&arrival->header, arrival->data, sizeof(arrival->header));
	if (arrival->header.type != PACKET_DATA || arrival->header.flags != 0)
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

static void note_move(struct arrival *arrival)
{
	struct session *session = arrival->session;
	unsigned lane = arrival->header.lane;
	struct datagram_peer peer = *arrival->peer;
	// A socket to dial from follows the host's own routes, also after its address has changed.
	if (peer.slot <= DATAPLANE_DIAL_6)
		memset(&peer.local, 0, sizeof(peer.local));
	struct path *path = path_new(&peer, session_knows_address(session, &peer.remote.addr));
	if (!path)
		return;
	atomic_init(&path->in, arrival->size);
	session_replace_path(session, lane, path);
	if (!atomic_load_explicit(&path->confirmed, memory_order_relaxed))
		egress_probe(arrival->worker, session, path);
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
		note_move(arrival);
		return;
	}
	if (atomic_load_explicit(&path->confirmed, memory_order_relaxed))
		return;
	atomic_fetch_add_explicit(&path->in, arrival->size, memory_order_relaxed);
	uint64_t probed = atomic_load_explicit(&path->probed_ms, memory_order_relaxed);
	if (arrival->worker->now_ms >= probed + PROBE_AGAIN_MS)
		egress_probe(arrival->worker, session, path);
}

// The answer carries the token of a probe to one of the paths: that path works, and took so long.
static void take_answer(struct session *session, uint64_t token)
{
	uint64_t now = clock_ns();
	for (unsigned i = 0; i < PACKET_LANES_MAX; i++) {
		struct path *path = atomic_load_explicit(&session->paths[i], memory_order_acquire);
		uint64_t sent = path ? token ^ path->secret : UINT64_MAX;
		if (sent > now || now - sent > RTT_MAX_NS)
			continue;
		atomic_store_explicit(&path->confirmed, true, memory_order_relaxed);
		atomic_store_explicit(&session->rtt_ns, now - sent, memory_order_relaxed);
		return;
	}
}

static enum drop take_link(struct arrival *arrival)
{
	struct link_message message;
	uint64_t token;
	if (arrival->plain_size < sizeof(message))
		return DROP_MALFORMED;
	memcpy(&message, arrival->plain, sizeof(message));
	memcpy(&token, message.token, sizeof(token));
	switch (message.type) {
	case LINK_PROBE:
	case LINK_MTU_PROBE:
		egress_answer(arrival->worker, arrival->session, arrival->peer,
			      message.type == LINK_PROBE ? LINK_ANSWER : LINK_MTU_ANSWER, token,
			      message.type == LINK_PROBE ? 0 : (uint16_t)arrival->plain_size);
		return DROP_NONE;
	case LINK_ANSWER:
		take_answer(arrival->session, token);
		return DROP_NONE;
	case LINK_KEEPALIVE:
	case LINK_MTU_ANSWER:
		return DROP_NONE;
	default:
		return DROP_MALFORMED;
	}
}

static enum drop judge(const struct arrival *arrival)
{
	struct inner inner;
	if (!inner_parse(arrival->plain, arrival->plain_size, &inner))
		return DROP_MALFORMED;
	const struct session *owner =
		route_lookup(dataplane_routes(arrival->worker->dataplane), &inner.source);
	return owner == arrival->session ? DROP_NONE : DROP_SOURCE;
}

static enum drop write_packet(struct arrival *arrival)
{
	struct worker *worker = arrival->worker;
	size_t size = WORKER_VNET_HEADER + arrival->plain_size;
	memset(worker->frame, 0, WORKER_VNET_HEADER);
	if (write(worker->tun, worker->frame, size) != (ssize_t)size)
		return DROP_DEVICE;
	atomic_store_explicit(&arrival->session->received_ms, worker->now_ms, memory_order_relaxed);
	struct lane_rx *lane = arrival->lane;
	uint64_t packets = atomic_load_explicit(&lane->packets, memory_order_relaxed);
	uint64_t bytes = atomic_load_explicit(&lane->bytes, memory_order_relaxed);
	atomic_store_explicit(&lane->packets, packets + 1, memory_order_relaxed);
	atomic_store_explicit(&lane->bytes, bytes + arrival->plain_size, memory_order_relaxed);
	return DROP_NONE;
}

// Steps 3 to 7, on the worker that owns the lane.
static enum drop take_packet(struct arrival *arrival)
{
	arrival->plain = arrival->worker->frame + WORKER_VNET_HEADER;
	enum drop drop = open_one(arrival);
	if (drop != DROP_NONE)
		return drop;
	note_peer(arrival);
	if (arrival->plain_size == 0)
		return DROP_MALFORMED;
	if (arrival->plain[0] >> 4 == 0)
		return take_link(arrival);
	drop = judge(arrival);
	return drop != DROP_NONE ? drop : write_packet(arrival);
}

void ingress_datagram(struct worker *worker, const uint8_t *data, size_t size,
		      const struct datagram_peer *peer, bool handed_over)
{
	struct arrival arrival = {
		.worker = worker,
		.data = data,
		.size = size,
		.peer = peer,
		.handed_over = handed_over,
	};
	enum drop drop = read_header(&arrival);
	if (drop == DROP_NONE)
		drop = find_epoch(&arrival);
	if (drop == DROP_NONE && arrival.lane->owner != worker->number) {
		// Its window and context belong to another worker. A packet that was handed over once already met a new epoch.
		if (!handed_over &&
		    dataplane_hand_over(worker->dataplane, arrival.lane->owner, data, size, peer))
			return;
		drop = DROP_QUEUE;
	}
	if (drop == DROP_NONE)
		drop = take_packet(&arrival);
	if (drop == DROP_NONE)
		return;
	if (arrival.session)
		session_count_drop(arrival.session, drop);
	else
		worker_count_drop(worker, drop);
}

bool ingress_run(struct worker *worker, unsigned slot)
{
	struct datagram_batch *in = &worker->in;
	int fd = atomic_load_explicit(&worker->sockets[slot], memory_order_acquire);
	if (fd < 0 || datagram_receive(fd, (uint8_t)slot, in) <= 0)
		return false;
	for (unsigned i = 0; i < in->count; i++)
		ingress_datagram(worker, in->data + i * in->stride, in->sizes[i], &in->peers[i],
				 false);
	egress_flush(worker);
	return in->count == DATAGRAM_BATCH;
}
