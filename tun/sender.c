// SPDX-License-Identifier: Apache-2.0

#include "tun/sender.h"

#include <unistd.h>

#include "tun/answer.h"
#include "tun/cut.h"
#include "tun/egress.h"
#include "tun/inner.h"
#include "tun/session.h"
#include "tun/subject.h"
#include "tun/worker.h"

#define HOST_EVERY_MS	 10u
#define SUBJECT_EVERY_NS UINT64_C(10000000)
#define SUBJECT_BURST	 20u

// The generic cell rate algorithm (ITU-T I.371): answers_ns is when all answers so far would have been sent at the even rate. Two
// workers at once may count one for two.
static bool subject_may(struct subject *subject, uint64_t now_ns)
{
	uint64_t at = atomic_load_explicit(&subject->answers_ns, memory_order_relaxed);
	if (at < now_ns)
		at = now_ns;
	if (at - now_ns > SUBJECT_BURST * SUBJECT_EVERY_NS)
		return false;
	atomic_store_explicit(&subject->answers_ns, at + SUBJECT_EVERY_NS, memory_order_relaxed);
	return true;
}

static bool may_answer(struct worker *worker, const struct session *back)
{
	if (back)
		return subject_may(back->subject, worker->now_ms * 1000000);
	if (worker->now_ms < worker->answered_ms + HOST_EVERY_MS)
		return false;
	worker->answered_ms = worker->now_ms;
	return true;
}

// `frame`: a vnet header of zeroes, and the answer of `size` bytes.
static void send_answer(struct worker *worker, struct session *back, uint8_t *frame, size_t size)
{
	if (!back) {
		if (write(worker->tun, frame, VNET_HEADER + size) < 0)
			worker_count_drop(worker, DROP_DEVICE);
		return;
	}
	enum drop drop = egress_send(worker, back, frame, size, EGRESS_ARRIVED);
	if (drop != DROP_NONE)
		session_count_drop(back, drop);
}

static void tell(struct worker *worker, struct session *back, struct answer answer,
		 const struct inner *inner, const uint8_t *packet, size_t size)
{
	uint8_t frame[VNET_HEADER + ANSWER_MAX] = {0};
	if (!may_answer(worker, back))
		return;
	answer.from = inner->destination;
	size_t built = answer_build(&answer, packet, size, inner, frame + VNET_HEADER);
	if (built)
		send_answer(worker, back, frame, built);
}

void sender_too_big(struct worker *worker, struct session *back, const struct inner *inner,
		    const uint8_t *packet, size_t size, unsigned mtu)
{
	struct answer answer = {.type = ANSWER_TOO_BIG, .mtu = mtu};
	tell(worker, back, answer, inner, packet, size);
}

void sender_refused(struct worker *worker, struct session *back, const struct inner *inner,
		    const uint8_t *packet, size_t size)
{
	tell(worker, back, (struct answer){.type = ANSWER_REFUSED}, inner, packet, size);
}

void sender_expired(struct worker *worker, struct session *back, const struct inner *inner,
		    const uint8_t *packet, size_t size)
{
	tell(worker, back, (struct answer){.type = ANSWER_EXPIRED}, inner, packet, size);
}
