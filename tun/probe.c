// SPDX-License-Identifier: Apache-2.0

#include "tun/probe.h"

#include <endian.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "tun/egress.h"
#include "tun/path.h"
#include "tun/session.h"
#include "tun/worker.h"

#define RTT_MAX_NS UINT64_C(30000000000)

// A round of batch probes: some in one piece, then as many one by one, all of one size.
#define BATCH_PROBES	 4u
#define BATCH_SIZE	 600u // of plaintext; on every path that carries IPv6
#define BATCH_ALL	 ((1u << BATCH_PROBES) - 1)
#define BATCH_JUDGE_MS	 500u
#define BATCH_AGAIN_MS	 15000u
#define BATCH_FORGIVE_MS 60000u // routes change: what is off is tried again
#define BATCH_MISSED_MAX 3u

static void send_message(struct worker *worker, struct session *session,
			 const struct datagram_peer *to, struct datagram_way *way,
			 const struct link_message *message, size_t size)
{
	uint8_t small[BATCH_SIZE];
	// A large one is made where frames are read to: nothing is there between two of them.
	uint8_t *plain = size > sizeof(small) ? worker->frame : small;
	struct egress_input input = {.plain = plain, .size = size};
	struct epoch *epoch = atomic_load_explicit(&session->tx, memory_order_acquire);
	memset(plain, 0, size);
	memcpy(plain, message, sizeof(*message));
	enum drop drop = epoch ? egress_seal(worker, epoch, &input, to, way) : DROP_KEYS;
	if (drop != DROP_NONE)
		session_count_drop(session, drop);
}

static struct link_message message_of(enum link_message_type type, uint64_t token)
{
	struct link_message message = {.type = (uint8_t)type};
	memcpy(message.token, &token, sizeof(token));
	return message;
}

void probe_path(struct worker *worker, struct session *session, struct path *path)
{
	struct link_message message = message_of(LINK_PROBE, path->secret ^ clock_ns());
	atomic_store_explicit(&path->probed_ms, worker->now_ms, memory_order_relaxed);
	send_message(worker, session, &path->peer, NULL, &message, sizeof(message));
}

static struct path *own_path(const struct worker *worker, const struct session *session)
{
	const struct epoch *epoch = atomic_load_explicit(&session->tx, memory_order_acquire);
	return epoch ? path_of(session, epoch, worker->number) : NULL;
}

void probe_send(struct worker *worker, struct session *session, enum link_message_type type)
{
	struct path *path = own_path(worker, session);
	if (!path)
		return;
	struct link_message message = message_of(type, path->secret ^ clock_ns());
	if (type == LINK_PROBE)
		probe_path(worker, session, path);
	else
		send_message(worker, session, &path->peer, NULL, &message, sizeof(message));
	egress_flush(worker);
}

void probe_udp(struct worker *worker, struct session *session)
{
	struct path *path = atomic_load_explicit(&session->udp, memory_order_acquire);
	if (!path)
		return;
	probe_path(worker, session, path);
	egress_flush(worker);
}

void probe_mtu(struct worker *worker, struct session *session, size_t size)
{
	struct path *path = own_path(worker, session);
	if (!path || path_in_channel(path) || size < sizeof(struct link_message) ||
	    size > PACKET_INNER_MAX)
		return;
	struct link_message message = message_of(LINK_MTU_PROBE, path->secret ^ clock_ns());
	if (atomic_load_explicit(&path->confirmed, memory_order_relaxed)) {
		send_message(worker, session, &path->peer, NULL, &message, size);
		egress_flush(worker); // or both leave in one piece
		send_message(worker, session, &path->peer, NULL, &message, sizeof(message));
	} else {
		probe_path(worker, session, path);
	}
	egress_flush(worker);
}

// --- runs of datagrams

static void ask_batches(struct worker *worker, struct session *session, struct path *path)
{
	struct datagram_way in_one_piece = {0}, singly = {.singly = true};
	struct link_message message = message_of(LINK_BATCH_PROBE, path->secret ^ clock_ns());
	atomic_store(&session->batch.answered, 0);
	egress_flush(worker); // the ways below are gone when this function returns
	for (unsigned i = 0; i < 2 * BATCH_PROBES; i++) {
		message.number = (uint8_t)i;
		if (i == BATCH_PROBES)
			egress_flush(worker);
		send_message(worker, session, &path->peer,
			     i < BATCH_PROBES ? &in_one_piece : &singly, &message, BATCH_SIZE);
	}
	egress_flush(worker);
	if (atomic_load(&in_one_piece.singly)) {
		atomic_store(&session->way.singly, true);
		atomic_store(&session->batch.asked, false);
	}
}

// Returns when to look again.
static uint64_t judge_batches(struct session *session)
{
	unsigned answered = atomic_load(&session->batch.answered);
	bool was_singly = atomic_load(&session->way.singly);
	if (answered & BATCH_ALL) {
		atomic_store(&session->batch.missed, 0);
		atomic_store(&session->way.singly, false);
		if (was_singly)
			log_info("runs of datagrams in one piece arrive at %s again",
				 session->identity);
		return BATCH_AGAIN_MS;
	}
	if (answered == 0)
		return BATCH_JUDGE_MS; // nothing arrives, which says nothing about runs
	if (was_singly)
		return BATCH_FORGIVE_MS;
	if (atomic_fetch_add(&session->batch.missed, 1) + 1 < BATCH_MISSED_MAX)
		return 0;
	atomic_store(&session->way.singly, true);
	log_warning("runs of datagrams in one piece (UDP_SEGMENT) do not arrive at %s, single ones "
		    "do: the kernel, the network card or the path mangles them; they leave one "
		    "by one from now on, which is slower",
		    session->identity);
	return BATCH_FORGIVE_MS;
}

void probe_batches(struct worker *worker, struct session *session, struct path *path)
{
	uint64_t next = atomic_load_explicit(&session->batch.next_ms, memory_order_relaxed);
	if (worker->now_ms < next || !worker->out.segmentation || path_in_channel(path) ||
	    !atomic_load_explicit(&path->confirmed, memory_order_relaxed))
		return;
	// One of the workers does it.
	if (!atomic_compare_exchange_strong(&session->batch.next_ms, &next,
					    worker->now_ms + BATCH_JUDGE_MS))
		return;
	if (atomic_exchange(&session->batch.asked, false)) {
		uint64_t wait = judge_batches(session);
		atomic_store(&session->batch.next_ms, worker->now_ms + wait);
		if (wait)
			return;
		atomic_store(&session->batch.next_ms, worker->now_ms + BATCH_JUDGE_MS);
	}
	atomic_store(&session->batch.asked, true);
	ask_batches(worker, session, path);
}

// --- answers

// Whether a probe of this path carried the token, not too long ago.
static bool is_answer(const struct path *path, uint64_t token, uint64_t now, uint64_t *ret_ns)
{
	uint64_t sent = path ? token ^ path->secret : UINT64_MAX;
	if (sent > now || now - sent > RTT_MAX_NS)
		return false;
	*ret_ns = now - sent;
	return true;
}

// The path whose probe carried this token; NULL: none.
static struct path *find_path(struct session *session, uint64_t token, uint64_t *ret_ns)
{
	uint64_t now = clock_ns();
	struct path *path = atomic_load_explicit(&session->udp, memory_order_acquire);
	if (is_answer(path, token, now, ret_ns))
		return path;
	for (unsigned i = 0; i < PACKET_LANES_MAX; i++) {
		path = atomic_load_explicit(&session->paths[i], memory_order_acquire);
		if (is_answer(path, token, now, ret_ns))
			return path;
	}
	return NULL;
}

static void take_mtu_answer(struct session *session, const struct link_message *message,
			    uint64_t sent_ns)
{
	uint16_t size;
	memcpy(&size, message->size, sizeof(size));
	if (be16toh(size) > sizeof(*message))
		atomic_store_explicit(&session->mtu_answered, be16toh(size), memory_order_relaxed);
	else
		atomic_store_explicit(&session->mtu_small_ms, sent_ns / 1000000,
				      memory_order_relaxed);
}

static void take_answer(struct session *session, const struct link_message *message)
{
	uint64_t token, ns;
	memcpy(&token, message->token, sizeof(token));
	struct path *path = find_path(session, token, &ns);
	if (!path)
		return;
	atomic_store_explicit(&session->answered_ms, clock_ms(), memory_order_relaxed);
	if (message->type == LINK_MTU_ANSWER)
		take_mtu_answer(session, message, token ^ path->secret);
	if (message->type == LINK_BATCH_ANSWER) {
		if (message->number < 2 * BATCH_PROBES)
			atomic_fetch_or(&session->batch.answered, 1u << message->number);
		return;
	}
	atomic_store_explicit(&path->confirmed, true, memory_order_relaxed);
	atomic_store_explicit(&session->rtt_ns, ns, memory_order_relaxed);
}

bool probe_reply(const struct link_message *message, size_t size, struct link_message *ret)
{
	struct link_message reply = {.number = message->number};
	uint16_t arrived = htobe16((uint16_t)size);
	memcpy(reply.token, message->token, sizeof(reply.token));
	switch (message->type) {
	case LINK_PROBE:
		reply.type = LINK_ANSWER;
		break;
	case LINK_BATCH_PROBE:
		reply.type = LINK_BATCH_ANSWER;
		break;
	case LINK_MTU_PROBE:
		reply.type = LINK_MTU_ANSWER;
		memcpy(reply.size, &arrived, sizeof(arrived));
		break;
	default:
		return false;
	}
	*ret = reply;
	return true;
}

enum drop probe_take(struct worker *worker, struct session *session,
		     const struct datagram_peer *from, const uint8_t *plain, size_t size)
{
	struct link_message message, reply;
	if (size < sizeof(message))
		return DROP_MALFORMED;
	memcpy(&message, plain, sizeof(message));
	if (probe_reply(&message, size, &reply)) {
		send_message(worker, session, from, NULL, &reply, sizeof(reply));
		return DROP_NONE;
	}
	switch (message.type) {
	case LINK_ANSWER:
	case LINK_MTU_ANSWER:
	case LINK_BATCH_ANSWER:
		take_answer(session, &message);
		return DROP_NONE;
	case LINK_KEEPALIVE:
		return DROP_NONE;
	default:
		return DROP_MALFORMED;
	}
}
