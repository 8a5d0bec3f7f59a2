// SPDX-License-Identifier: Apache-2.0

#include "tun/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/rcu.h"
#include "tun/egress.h"
#include "tun/ingress.h"
#include "tun/note.h"
#include "tun/probe.h"
#include "tun/session.h"

// What an epoll event stands for; slots of sockets count from 0.
#define EVENT_TUN  100u
#define EVENT_WAKE 101u
#define EVENTS	   8

static void run_link_task(struct worker *worker, const struct worker_task *task)
{
	struct session *session = dataplane_find(worker->dataplane, task->index);
	if (!session)
		return;
	if (task->by_udp)
		probe_udp(worker, session);
	else if (task->link == LINK_MTU_PROBE)
		probe_mtu(worker, session, task->size);
	else
		probe_send(worker, session, task->link);
}

static void run_task(struct worker *worker, const struct worker_task *task)
{
	if (task->link) {
		run_link_task(worker, task);
		return;
	}
	struct ingress_input input = {
		.data = task->data,
		.size = task->size,
		.peer = &task->peer,
		.ecn = task->ecn,
		.handed_over = task->handed_over,
	};
	ingress_datagram(worker, &input);
}

static void run_inbox(struct worker *worker)
{
	uint64_t ignored;
	if (read(worker->wake, &ignored, sizeof(ignored)) < 0)
		return;
	for (struct pile_item *item = pile_take(&worker->inbox); item;) {
		struct worker_task *task = (struct worker_task *)item;
		item = item->next;
		run_task(worker, task);
		free(task);
		atomic_fetch_sub_explicit(&worker->inbox_count, 1, memory_order_relaxed);
	}
	ingress_flush(worker);
	egress_flush(worker);
}

static void run_event(struct worker *worker, uint32_t source)
{
	if (source == EVENT_WAKE) {
		run_inbox(worker);
		return;
	}
	if (source == EVENT_TUN)
		egress_run(worker);
	else
		ingress_run(worker, source);
	rcu_reader_quiescent();
}

static void *run(void *data)
{
	struct worker *worker = data;
	struct epoll_event events[EVENTS];
	rcu_reader_register();
	while (!atomic_load_explicit(&worker->stop, memory_order_acquire)) {
		rcu_reader_offline();
		int n = epoll_wait(worker->epoll, events, EVENTS, -1);
		rcu_reader_online();
		worker->now_ms = clock_ms();
		for (int i = 0; i < n; i++)
			run_event(worker, events[i].data.u32);
	}
	rcu_reader_unregister();
	return NULL;
}

static int watch_fd(const struct worker *worker, int fd, uint32_t source)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};
	return epoll_ctl(worker->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int make(struct worker *worker)
{
	int r = datagram_out_init(&worker->out);
	worker->out.segmentation = worker->offloads & OFFLOAD_BIT(OFFLOAD_SEGMENT);
	if (r == 0)
		r = datagram_in_init(&worker->in);
	if (r == 0)
		r = join_init(&worker->join, worker->tun);
	if (r < 0)
		return r;
	worker->join.tcp = worker->join.udp = worker->offloads & OFFLOAD_BIT(OFFLOAD_JOIN);
	worker->frame = malloc(VNET_HEADER + VNET_SUPER_MAX);
	if (!worker->frame || !worker->notes)
		return -ENOMEM;
	worker->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (worker->epoll < 0)
		return -errno;
	worker->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (worker->wake < 0)
		return -errno;
	r = watch_fd(worker, worker->wake, EVENT_WAKE);
	return r < 0 ? r : watch_fd(worker, worker->tun, EVENT_TUN);
}

static struct worker *worker_free(struct worker *worker)
{
	for (struct pile_item *item = pile_take(&worker->inbox); item;) {
		struct pile_item *task = item;
		item = item->next;
		free(task);
	}
	for (unsigned i = 0; i < DATAPLANE_SLOTS; i++) {
		int fd = atomic_load(&worker->sockets[i]);
		closep(&fd);
	}
	closep(&worker->epoll);
	closep(&worker->wake);
	datagram_out_done(&worker->out);
	datagram_in_done(&worker->in);
	join_done(&worker->join);
	free(worker->frame);
	notes_free(worker->notes);
	free(worker);
	return NULL;
}

// Signals are the control thread's.
static int start_thread(struct worker *worker)
{
	sigset_t all, before;
	char name[16];
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int r = pthread_create(&worker->thread, NULL, run, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0)
		return -r;
	snprintf(name, sizeof(name), "worker-%u", worker->number);
	pthread_setname_np(worker->thread, name);
	return 0;
}

int worker_start(struct dataplane *dataplane, const struct worker_options *options,
		 struct worker **ret)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	if (!worker)
		return -ENOMEM;
	worker->dataplane = dataplane;
	worker->number = options->number;
	worker->tun = options->tun;
	worker->mtu = options->mtu;
	worker->offloads = options->offloads;
	worker->notes = notes_new(options->noted);
	worker->epoll = worker->wake = -1;
	for (unsigned i = 0; i < DATAPLANE_SLOTS; i++)
		atomic_init(&worker->sockets[i], -1);
	int r = make(worker);
	if (r == 0)
		r = start_thread(worker);
	if (r < 0) {
		worker_free(worker);
		return r;
	}
	*ret = worker;
	return 0;
}

static void wake(const struct worker *worker)
{
	uint64_t one = 1;
	// The counter can only be full when the worker is awake anyhow.
	if (write(worker->wake, &one, sizeof(one)) < 0)
		return;
}

struct worker *worker_stop(struct worker *worker)
{
	if (!worker)
		return NULL;
	atomic_store_explicit(&worker->stop, true, memory_order_release);
	wake(worker);
	pthread_join(worker->thread, NULL);
	return worker_free(worker);
}

void worker_lacks(struct worker *worker, enum offload offload)
{
	atomic_fetch_and_explicit(&worker->offloads, ~OFFLOAD_BIT(offload), memory_order_relaxed);
}

int worker_add_socket(struct worker *worker, unsigned slot, int fd)
{
	bool segment = worker->offloads & OFFLOAD_BIT(OFFLOAD_SEGMENT);
	bool gro = worker->offloads & OFFLOAD_BIT(OFFLOAD_GRO);
	if (segment && !datagram_can_segment(fd))
		worker_lacks(worker, OFFLOAD_SEGMENT);
	if (gro && !datagram_enable_joining(fd))
		worker_lacks(worker, OFFLOAD_GRO);
	atomic_store_explicit(&worker->sockets[slot], fd, memory_order_release);
	return watch_fd(worker, fd, slot);
}

void worker_remove_socket(struct worker *worker, unsigned slot)
{
	int fd = atomic_exchange(&worker->sockets[slot], -1);
	if (fd < 0)
		return;
	epoll_ctl(worker->epoll, EPOLL_CTL_DEL, fd, NULL);
	rcu_wait();
	close(fd);
}

bool worker_post(struct worker *worker, struct worker_task *task, unsigned max)
{
	if (atomic_fetch_add_explicit(&worker->inbox_count, 1, memory_order_relaxed) >= max) {
		atomic_fetch_sub_explicit(&worker->inbox_count, 1, memory_order_relaxed);
		free(task);
		return false;
	}
	if (pile_put(&worker->inbox, &task->item))
		wake(worker);
	return true;
}
