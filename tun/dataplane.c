// SPDX-License-Identifier: Apache-2.0

#include "tun/dataplane.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <openssl/rand.h>

#include "base/error.h"
#include "base/log.h"
#include "base/rcu.h"
#include "pki/tls.h"
#include "tun/guard.h"
#include "tun/host.h"
#include "tun/ingress.h"
#include "tun/note.h"
#include "tun/outlet.h"
#include "tun/path.h"
#include "tun/session.h"
#include "tun/steer.h"
#include "tun/stir.h"
#include "tun/trace.h"
#include "tun/worker.h"

#define INDEX_SLOTS (1u << DATAPLANE_INDEX_BITS)
#define INDEX_MASK  (INDEX_SLOTS - 1)
#define INDEX_TRIES 256u
static_assert(INDEX_SLOTS == STIR_SLOTS, "a session stirs by its slot");
#define STIRRED_AT_ONCE 64u // words of up to 64 sessions
#define DATAPLANE_OFFLOADS \
	(OFFLOAD_BIT(OFFLOAD_JOIN) | OFFLOAD_BIT(OFFLOAD_SEGMENT) | OFFLOAD_BIT(OFFLOAD_GRO))

struct dataplane {
	struct dataplane_options options;
	struct routes *routes;
	struct guard guard;
	struct worker *workers[PACKET_LANES_MAX];
	struct endpoint listening[DATAPLANE_SLOTS]; // by slot; AF_UNSPEC: free
	int noted;				    // eventfd
	struct outlet *outlet;
	struct trace *trace;
	bool scattered; // a peer\'s lanes arrive at sockets that the kernel chooses
	_Atomic(struct path *) retired;
	struct stir stir;
	_Atomic(struct session *) index[INDEX_SLOTS];
};

static void close_slot(struct dataplane *dataplane, unsigned slot)
{
	for (unsigned i = 0; i < dataplane->options.workers; i++)
		if (dataplane->workers[i])
			worker_remove_socket(dataplane->workers[i], slot);
	dataplane->listening[slot].addr.family = AF_UNSPEC;
}

// The sockets were bound in the order of the workers.
static void steer_slot(struct dataplane *dataplane, unsigned slot)
{
	unsigned workers = dataplane->options.workers;
	int fd = atomic_load(&dataplane->workers[0]->sockets[slot]);
	bool wanted = dataplane->options.offloads & OFFLOAD_BIT(OFFLOAD_STEER);
	if (!wanted || steer_sockets(fd, workers) < 0)
		dataplane->scattered = true;
}

static int open_slot(struct dataplane *dataplane, unsigned slot, const struct endpoint *endpoint,
		     struct error *error)
{
	char text[ENDPOINT_TEXT_MAX];
	bool shared = endpoint->port != 0;
	for (unsigned i = 0; i < dataplane->options.workers; i++) {
		int fd = datagram_open(endpoint, shared, dataplane->options.mark);
		int r = fd < 0 ? fd : worker_add_socket(dataplane->workers[i], slot, fd);
		if (r < 0) {
			close_slot(dataplane, slot);
			error_set(error, -r, "cannot open UDP %s: %s",
				  endpoint_text(endpoint, text), strerror(-r));
			return error_remedy(error, "see who has it with: ss -ulpn");
		}
	}
	if (shared)
		steer_slot(dataplane, slot);
	dataplane->listening[slot] = *endpoint;
	return 0;
}

// A kernel without one of the families does without it.
static int open_dialling(struct dataplane *dataplane, struct error *error)
{
	struct endpoint any = {.addr.family = AF_INET};
	int r = open_slot(dataplane, DATAPLANE_DIAL_4, &any, error);
	any.addr.family = AF_INET6;
	if (open_slot(dataplane, DATAPLANE_DIAL_6, &any, NULL) < 0)
		log_debug("no IPv6 on this host: endpoints are dialled over IPv4 alone");
	return r;
}

int dataplane_new(const struct dataplane_options *options, struct dataplane **ret,
		  struct error *error)
{
	_cleanup_(dataplane_freep) struct dataplane *dataplane = calloc(1, sizeof(*dataplane));
	if (!dataplane)
		return error_set(error, ENOMEM, "out of memory");
	dataplane->options = *options;
	dataplane->routes = routes_new();
	dataplane->noted = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	dataplane->outlet = outlet_new();
	int r = stir_init(&dataplane->stir);
	if (!dataplane->routes || dataplane->noted < 0 || !dataplane->outlet || r < 0 ||
	    guard_init(&dataplane->guard) < 0)
		return error_set(error, ENOMEM, "out of memory");
	for (unsigned i = 0; i < options->workers; i++) {
		struct worker_options worker = {
			.number = i,
			.tun = host_queue(options->host, i),
			.mtu = options->mtu,
			.offloads = options->offloads & DATAPLANE_OFFLOADS,
			.noted = dataplane->noted,
		};
		r = worker_start(dataplane, &worker, &dataplane->workers[i]);
		if (r < 0)
			return error_set(error, -r, "cannot start worker %u: %s", i, strerror(-r));
	}
	r = open_dialling(dataplane, error);
	if (r < 0)
		return r;
	*ret = take(dataplane);
	return 0;
}

struct dataplane *dataplane_free(struct dataplane *dataplane)
{
	if (!dataplane)
		return NULL;
	for (unsigned i = 0; i < dataplane->options.workers; i++)
		worker_stop(dataplane->workers[i]);
	dataplane_collect(dataplane);
	guard_done(&dataplane->guard);
	routes_free(dataplane->routes);
	closep(&dataplane->noted);
	stir_done(&dataplane->stir);
	outlet_free(dataplane->outlet);
	trace_free(dataplane->trace);
	free(dataplane);
	return NULL;
}

static bool listed(const struct endpoint *endpoint, const struct endpoint *list, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (endpoint_equal(endpoint, &list[i]))
			return true;
	return false;
}

static int free_slot(const struct dataplane *dataplane)
{
	for (unsigned slot = DATAPLANE_DIAL_6 + 1; slot < DATAPLANE_SLOTS; slot++)
		if (dataplane->listening[slot].addr.family == AF_UNSPEC)
			return (int)slot;
	return -ENOSPC;
}

// Closes the listening slots in [0, DATAPLANE_SLOTS) whose bit is set.
static void close_slots(struct dataplane *dataplane, uint32_t slots)
{
	for (unsigned slot = DATAPLANE_DIAL_6 + 1; slot < DATAPLANE_SLOTS; slot++)
		if (slots >> slot & 1)
			close_slot(dataplane, slot);
}

int dataplane_listen(struct dataplane *dataplane, const struct endpoint *endpoints, unsigned count,
		     struct error *error)
{
	uint32_t opened = 0;
	uint32_t gone = 0;
	for (unsigned slot = DATAPLANE_DIAL_6 + 1; slot < DATAPLANE_SLOTS; slot++)
		if (dataplane->listening[slot].addr.family != AF_UNSPEC &&
		    !listed(&dataplane->listening[slot], endpoints, count))
			gone |= 1u << slot;
	for (unsigned i = 0; i < count; i++) {
		if (listed(&endpoints[i], dataplane->listening, DATAPLANE_SLOTS))
			continue;
		int slot = free_slot(dataplane);
		int r = slot < 0 ? error_set(error, ENOSPC, "more than %u endpoints to listen on",
					     DATAPLANE_SLOTS - 2)
				 : open_slot(dataplane, (unsigned)slot, &endpoints[i], error);
		if (r < 0) {
			close_slots(dataplane, opened);
			return r;
		}
		opened |= 1u << slot;
	}
	close_slots(dataplane, gone);
	return 0;
}

struct routes *dataplane_routes(struct dataplane *dataplane)
{
	return dataplane->routes;
}

struct guard *dataplane_guard(struct dataplane *dataplane)
{
	return &dataplane->guard;
}

int dataplane_set_filter(struct dataplane *dataplane, struct filter *filter)
{
	return guard_set_filter(&dataplane->guard, filter);
}

unsigned dataplane_workers(const struct dataplane *dataplane)
{
	return dataplane->options.workers;
}

// The responder's worker n answers to the socket of the initiator's worker n (path_of()). Where the kernel spreads peers over
// the responder's sockets by a hash of addresses and ports, nobody knows.
unsigned dataplane_arrival_workers(const struct dataplane *dataplane, bool initiator)
{
	return initiator || !dataplane->scattered ? dataplane->options.workers : 0;
}

unsigned dataplane_offloads(const struct dataplane *dataplane)
{
	unsigned offloads = DATAPLANE_OFFLOADS;
	for (unsigned i = 0; i < dataplane->options.workers; i++)
		offloads &= atomic_load_explicit(&dataplane->workers[i]->offloads,
						 memory_order_relaxed);
	return offloads;
}

void dataplane_drops(const struct dataplane *dataplane, uint64_t drops[DROP_LAST + 1])
{
	for (unsigned d = 0; d <= DROP_LAST; d++) {
		drops[d] = 0;
		for (unsigned i = 0; i < dataplane->options.workers; i++)
			drops[d] += atomic_load_explicit(&dataplane->workers[i]->drops[d],
							 memory_order_relaxed);
	}
}

int dataplane_noted(const struct dataplane *dataplane)
{
	return dataplane->noted;
}

// Up to `max`, one from each worker in turn; fewer: there are no more.
static unsigned take_notes(struct dataplane *dataplane, unsigned max,
			   void (*each)(const struct note *note, void *data), void *data)
{
	unsigned taken = 0, empty = 0;
	for (unsigned i = 0; taken < max && empty < dataplane->options.workers;
	     i = (i + 1) % dataplane->options.workers) {
		struct note note;
		bool found = notes_take(dataplane->workers[i]->notes, &note);
		empty = found ? 0 : empty + 1;
		taken += found;
		if (found)
			each(&note, data);
	}
	return taken;
}

void dataplane_take_notes(struct dataplane *dataplane, unsigned max,
			  void (*each)(const struct note *note, void *data), void *data)
{
	eventfd_t woken;
	// Before looking, so that what comes meanwhile wakes us again.
	if (eventfd_read(dataplane->noted, &woken) < 0)
		woken = 0;
	if (take_notes(dataplane, max, each, data) == max)
		(void)eventfd_write(dataplane->noted, 1);
}

void dataplane_set_trace(struct dataplane *dataplane, struct trace *trace)
{
	struct trace *before = dataplane->trace;
	dataplane->trace = trace;
	for (unsigned i = 0; i < dataplane->options.workers; i++)
		atomic_store_explicit(&dataplane->workers[i]->trace, trace, memory_order_release);
	if (before)
		rcu_wait();
	trace_free(before);
}

const struct trace *dataplane_trace(const struct dataplane *dataplane)
{
	return dataplane->trace;
}

struct outlet *dataplane_outlet(struct dataplane *dataplane)
{
	return dataplane->outlet;
}

int dataplane_add_session(struct dataplane *dataplane, struct session *session)
{
	for (unsigned i = 0; i < INDEX_TRIES; i++) {
		uint32_t index;
		struct session *free_place = NULL;
		if (RAND_bytes_ex(tls_library(), (unsigned char *)&index, sizeof(index), 0) != 1)
			return -EIO;
		if (index == 0)
			continue;
		session->index = index;
		if (atomic_compare_exchange_strong(&dataplane->index[index & INDEX_MASK],
						   &free_place, session))
			return 0;
	}
	return -ENOSPC;
}

void dataplane_remove_session(struct dataplane *dataplane, struct session *session)
{
	atomic_store(&dataplane->index[session->index & INDEX_MASK], NULL);
}

struct session *dataplane_find(struct dataplane *dataplane, uint32_t index)
{
	struct session *session =
		atomic_load_explicit(&dataplane->index[index & INDEX_MASK], memory_order_acquire);
	return session && session->index == index ? session : NULL;
}

static void post_link(struct worker *worker, uint32_t index, enum link_message_type type,
		      size_t size, bool by_udp)
{
	struct worker_task *task = calloc(1, sizeof(*task));
	if (!task)
		return;
	task->link = type;
	task->index = index;
	task->size = size;
	task->by_udp = by_udp;
	worker_post(worker, task, WORKER_INBOX_MAX);
}

void dataplane_ask_udp(struct dataplane *dataplane, uint32_t index)
{
	post_link(dataplane->workers[0], index, LINK_PROBE, 0, true);
}

void dataplane_probe_mtu(struct dataplane *dataplane, uint32_t index, size_t size)
{
	post_link(dataplane->workers[0], index, LINK_MTU_PROBE, size, false);
}

void dataplane_send_link(struct dataplane *dataplane, uint32_t index, enum link_message_type type)
{
	for (unsigned i = 0; i < dataplane->options.workers; i++)
		post_link(dataplane->workers[i], index, type, 0, false);
}

bool dataplane_hand_over(struct dataplane *dataplane, unsigned worker,
			 const struct ingress_input *input)
{
	struct worker_task *task = calloc(1, sizeof(*task) + input->size);
	if (!task)
		return false;
	memcpy(task->data, input->data, input->size);
	task->peer = *input->peer;
	task->ecn = input->ecn;
	task->size = input->size;
	task->handed_over = input->handed_over;
	unsigned max = input->peer->slot == DATAPLANE_CHANNEL ? WORKER_INBOX_CHANNEL_MAX
							      : WORKER_INBOX_MAX;
	return worker_post(dataplane->workers[worker], task, max);
}

void dataplane_stir(struct dataplane *dataplane, const struct session *session)
{
	stir_set(&dataplane->stir, session->index & INDEX_MASK);
}

int dataplane_stirred(const struct dataplane *dataplane)
{
	return dataplane->stir.fd;
}

static void on_stirred(unsigned slot, void *data)
{
	struct dataplane *dataplane = data;
	struct session *session = atomic_load(&dataplane->index[slot]);
	if (session)
		session_stirred(session);
}

void dataplane_take_stirred(struct dataplane *dataplane)
{
	stir_take(&dataplane->stir, STIRRED_AT_ONCE, on_stirred, dataplane);
}

void dataplane_retire_path(struct dataplane *dataplane, struct path *path)
{
	path->next = atomic_load_explicit(&dataplane->retired, memory_order_relaxed);
	while (!atomic_compare_exchange_weak(&dataplane->retired, &path->next, path))
		continue;
}

void dataplane_collect(struct dataplane *dataplane)
{
	struct path *path = atomic_exchange(&dataplane->retired, NULL);
	guard_tend(&dataplane->guard);
	if (!path)
		return;
	rcu_wait();
	while (path) {
		struct path *next = path->next;
		free(path);
		path = next;
	}
}
