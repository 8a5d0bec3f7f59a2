// SPDX-License-Identifier: Apache-2.0
// Two threads share a question: the loop's and the one that blocks in getaddrinfo(). Whoever lets go last frees it.

#include "client/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

struct question {
	atomic_uint references;
	char host[256];
	char port[8];
	int answered;	  // eventfd
	atomic_bool done; // what follows is written
	int status;	  // of getaddrinfo()
	struct endpoint endpoints[RESOLVE_MAX];
	unsigned count;
};

struct resolve {
	struct question *question;
	sd_event_source *source;
	resolve_done done;
	void *data;
};

static void question_put(struct question *question)
{
	if (atomic_fetch_sub(&question->references, 1) != 1)
		return;
	closep(&question->answered);
	free(question);
}

static void ask(struct question *question)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG,
	};
	struct addrinfo *list = NULL;
	// An address needs no interface of its family that is up yet (AI_ADDRCONFIG).
	struct addr literal;
	if (addr_parse(question->host, &literal) == 0)
		hints.ai_flags = AI_NUMERICSERV | AI_NUMERICHOST;
	question->status = getaddrinfo(question->host, question->port, &hints, &list);
	for (const struct addrinfo *at = list; at && question->count < RESOLVE_MAX;
	     at = at->ai_next) {
		struct sockaddr_storage name = {0};
		memcpy(&name, at->ai_addr, at->ai_addrlen);
		if (endpoint_from_sockaddr(&name, &question->endpoints[question->count]) == 0)
			question->count++;
	}
	if (list)
		freeaddrinfo(list);
}

static void *run(void *data)
{
	struct question *question = data;
	uint64_t one = 1;
	ask(question);
	atomic_store_explicit(&question->done, true, memory_order_release);
	// An eventfd that is written once takes it.
	(void)!write(question->answered, &one, sizeof(one));
	question_put(question);
	return NULL;
}

struct resolve *resolve_free(struct resolve *resolve)
{
	if (!resolve)
		return NULL;
	sd_event_source_disable_unref(resolve->source);
	if (resolve->question)
		question_put(resolve->question);
	free(resolve);
	return NULL;
}

static int on_answered(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	(void)source;
	(void)fd;
	(void)revents;
	_cleanup_(resolve_freep) struct resolve *resolve = data;
	struct question *question = resolve->question;
	if (!atomic_load_explicit(&question->done, memory_order_acquire))
		return 0;
	const char *reason = question->status ? gai_strerror(question->status) : "no address";
	resolve->done(question->endpoints, question->count, reason, resolve->data);
	return 0;
}

static int start_thread(struct question *question)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all, before;
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	atomic_fetch_add(&question->references, 1);
	int r = pthread_create(&thread, &attributes, run, question);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (r != 0)
		question_put(question);
	return -r;
}

int resolve_new(sd_event *event, const char *host, uint16_t port, resolve_done done, void *data,
		struct resolve **ret)
{
	_cleanup_(resolve_freep) struct resolve *resolve = calloc(1, sizeof(*resolve));
	if (!resolve)
		return -ENOMEM;
	struct question *question = calloc(1, sizeof(*question));
	if (!question)
		return -ENOMEM;
	resolve->question = question;
	resolve->done = done;
	resolve->data = data;
	atomic_init(&question->references, 1);
	snprintf(question->host, sizeof(question->host), "%s", host);
	snprintf(question->port, sizeof(question->port), "%u", port);
	question->answered = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (question->answered < 0)
		return -errno;
	int r = sd_event_add_io(event, &resolve->source, question->answered, EPOLLIN, on_answered,
				resolve);
	if (r < 0)
		return r;
	r = start_thread(question);
	if (r < 0)
		return r;
	*ret = take(resolve);
	return 0;
}
