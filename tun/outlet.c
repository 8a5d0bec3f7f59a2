// SPDX-License-Identifier: Apache-2.0

#include "tun/outlet.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/slices.h"
#include "tun/datagram.h"
#include "tun/dataplane.h"
#include "tun/session.h"
#include "tun/session_channel.h"
#include "tun/worker.h"

struct outlet {
	_Alignas(64) struct pile pushed;
	_Atomic size_t bytes; // in here and in the queues of sessions
	int wake;
	struct pile_item *oldest; // the control thread's, in order
};

struct outlet *outlet_new(void)
{
	struct outlet *outlet = aligned_alloc(64, sizeof(*outlet));
	if (!outlet)
		return NULL;
	memset(outlet, 0, sizeof(*outlet));
	outlet->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return outlet->wake < 0 ? outlet_free(outlet) : outlet;
}

static void free_all(struct pile_item *item)
{
	while (item) {
		struct pile_item *parcel = item;
		item = item->next;
		free(parcel);
	}
}

struct outlet *outlet_free(struct outlet *outlet)
{
	if (!outlet)
		return NULL;
	free_all(pile_take(&outlet->pushed));
	free_all(outlet->oldest);
	closep(&outlet->wake);
	free(outlet);
	return NULL;
}

void outlet_left(struct outlet *outlet, struct session *session, size_t size)
{
	atomic_fetch_sub_explicit(&outlet->bytes, size, memory_order_relaxed);
	atomic_fetch_sub_explicit(&session->channel_bytes, size, memory_order_relaxed);
}

// Whether there is room for `size` bytes more; then it is taken.
static bool take_room(struct outlet *outlet, struct session *session, size_t size)
{
	size_t all = atomic_fetch_add_explicit(&outlet->bytes, size, memory_order_relaxed) + size;
	size_t own =
		atomic_fetch_add_explicit(&session->channel_bytes, size, memory_order_relaxed) +
		size;
	size_t share = all < OUTLET_MAX ? (OUTLET_MAX - all) / OUTLET_SHARE : 0;
	if (own <= OUTLET_SESSION_MAX && own <= share)
		return true;
	outlet_left(outlet, session, size);
	return false;
}

static bool put_run(struct worker *worker, struct session *session, const uint8_t *data,
		    const struct datagram_run *run)
{
	struct outlet *outlet = dataplane_outlet(worker->dataplane);
	if (!take_room(outlet, session, run->size))
		return false;
	struct parcel *parcel = malloc(sizeof(*parcel) + run->size);
	if (!parcel) {
		outlet_left(outlet, session, run->size);
		return false;
	}
	*parcel = (struct parcel){
		.session = session->index,
		.at_ms = worker->now_ms,
		.segment = run->segment,
		.size = run->size,
	};
	memcpy(parcel->data, data, run->size);
	if (pile_put(&outlet->pushed, &parcel->item))
		(void)!eventfd_write(outlet->wake, 1);
	return true;
}

void outlet_put(struct worker *worker, const struct datagram_out *out, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		const struct datagram_run *run = &out->runs[i];
		struct session *session = dataplane_find(worker->dataplane, run->peer.session);
		if (!session || put_run(worker, session, out->data + run->offset, run))
			continue;
		for (unsigned lost = 0; lost < run->count; lost++)
			session_count_drop(session, DROP_CHANNEL);
	}
}

int outlet_fd(const struct outlet *outlet)
{
	return outlet->wake;
}

// The session may have ended meanwhile; its share of the room went with it.
static void deliver(struct outlet *outlet, struct dataplane *dataplane, struct parcel *parcel)
{
	struct session *session = dataplane_find(dataplane, parcel->session);
	if (session) {
		session_channel_put(session, parcel);
		return;
	}
	atomic_fetch_sub_explicit(&outlet->bytes, parcel->size, memory_order_relaxed);
	free(parcel);
}

void outlet_run(struct outlet *outlet, struct dataplane *dataplane)
{
	uint64_t until = clock_ns() + SLICES_NS;
	eventfd_t woken;
	// Before looking, so that what comes meanwhile wakes us again.
	(void)!eventfd_read(outlet->wake, &woken);
	if (!outlet->oldest)
		outlet->oldest = pile_take(&outlet->pushed);
	while (outlet->oldest && clock_ns() < until) {
		struct parcel *parcel = (struct parcel *)outlet->oldest;
		outlet->oldest = parcel->item.next;
		deliver(outlet, dataplane, parcel);
	}
	// What was pushed before the first line has not woken us again.
	if (outlet->oldest || !pile_is_empty(&outlet->pushed))
		(void)!eventfd_write(outlet->wake, 1);
}
