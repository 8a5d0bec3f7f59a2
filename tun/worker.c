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
#include "tun/session.h"

// What an epoll event stands for; slots of sockets count from 0.
#define EVENT_TUN  100u
#define EVENT_WAKE 101u
#define EVENTS	   8
#define ROUNDS	   8u // batches from one source, before the others have their turn

static void run_task(struct worker *worker, const struct worker_task *task)
{
	if (task->link) {
		struct session *session = dataplane_find(worker->dataplane, task->index);
		if (session)
			egress_link(worker, session, task->link);
		return;
	}
	ingress_datagram(worker, task->data, task->size, &task->peer, true);
}

static void run_inbox(struct worker *worker)
{
	uint64_t ignored;
	if (read(worker->wake, &ignored, sizeof(ignored)) < 0)
		return;
	struct worker_task *newest =
		atomic_exchange_explicit(&worker->inbox, NULL, memory_order_acquire);
	struct worker_task *oldest = NULL;
	while (newest) {
		struct worker_task *next = newest->next;
		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest) {
		struct worker_task *next = oldest->next;
		run_task(worker, oldest);
		free(oldest);
		atomic_fetch_sub_explicit(&worker->inbox_count, 1, memory_order_relaxed);
		oldest = next;
	}
	egress_flush(worker);
}

static void run_event(struct worker *worker, uint32_t source)
{
	if (source == EVENT_WAKE) {
		run_inbox(worker);
		return;
	}
	for (unsigned i = 0; i < ROUNDS; i++) {
		bool more = source == EVENT_TUN ? egress_run(worker) : ingress_run(worker, source);
		rcu_reader_quiescent();
		if (!more)
			break;
	}
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
	int r = datagram_batch_init(&worker->out, worker->mtu + PACKET_OVERHEAD);
	if (r == 0)
		r = datagram_batch_init(&worker->in, worker->mtu + PACKET_OVERHEAD + 1);
	if (r < 0)
		return r;
	worker->frame = malloc(WORKER_VNET_HEADER + PACKET_INNER_MAX);
	if (!worker->frame)
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
	struct worker_task *task = atomic_load(&worker->inbox);
	while (task) {
		struct worker_task *next = task->next;
		free(task);
		task = next;
	}
	for (unsigned i = 0; i < DATAPLANE_SLOTS; i++) {
		int fd = atomic_load(&worker->sockets[i]);
		closep(&fd);
	}
	closep(&worker->epoll);
	closep(&worker->wake);
	datagram_batch_done(&worker->out);
	datagram_batch_done(&worker->in);
	free(worker->frame);
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

int worker_start(struct dataplane *dataplane, unsigned number, int tun, size_t mtu,
		 struct worker **ret)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	if (!worker)
		return -ENOMEM;
	worker->dataplane = dataplane;
	worker->number = number;
	worker->tun = tun;
	worker->mtu = mtu;
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

int worker_add_socket(struct worker *worker, unsigned slot, int fd)
{
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

bool worker_post(struct worker *worker, struct worker_task *task)
{
	if (atomic_fetch_add_explicit(&worker->inbox_count, 1, memory_order_relaxed) >=
	    WORKER_INBOX_MAX) {
		atomic_fetch_sub_explicit(&worker->inbox_count, 1, memory_order_relaxed);
		free(task);
		return false;
	}
	task->next = atomic_load_explicit(&worker->inbox, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&worker->inbox, &task->next, task,
						      memory_order_release, memory_order_relaxed))
		continue;
	wake(worker);
	return true;
}
