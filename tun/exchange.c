// SPDX-License-Identifier: Apache-2.0
// The socket blocks, but the kernel has answered when send() returns. What is to be swept away is dumped first, and each
// message that matches is sent back as its own removal, as ip(8) does it: so nothing of it is lost in translation.

#include "tun/exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <netlink/netlink.h>
#include <netlink/msg.h>

// The kernel fills at most 32 KiB per message of a dump.
#define ANSWER_MAX 32768
#define DUMP_TRIES 20

struct exchange {
	struct nl_sock *socket;
};

// What fails before the kernel is asked has libnl's own codes.
static int to_errno(int code)
{
	switch (code < 0 ? -code : code) {
	case NLE_SUCCESS:
		return 0;
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_PERM:
		return -EPERM;
	case NLE_NOACCESS:
		return -EACCES;
	case NLE_AF_NOSUPPORT:
		return -EAFNOSUPPORT;
	case NLE_EXIST:
		return -EADDRINUSE;
	default:
		return -EIO;
	}
}

int exchange_open(struct exchange **ret)
{
	const int on = 1;
	_cleanup_(exchange_closep) struct exchange *exchange = calloc(1, sizeof(*exchange));
	if (!exchange)
		return -ENOMEM;
	exchange->socket = nl_socket_alloc();
	if (!exchange->socket)
		return -ENOMEM;
	int r = to_errno(nl_connect(exchange->socket, NETLINK_ROUTE));
	if (r < 0)
		return r;
	// Lets the kernel (4.20) leave other tables out of a dump; an older one sends them, and they are skipped.
	(void)setsockopt(nl_socket_get_fd(exchange->socket), SOL_NETLINK, NETLINK_GET_STRICT_CHK,
			 &on, sizeof(on));
	*ret = take(exchange);
	return 0;
}

struct exchange *exchange_close(struct exchange *exchange)
{
	if (!exchange)
		return NULL;
	nl_socket_free(exchange->socket);
	free(exchange);
	return NULL;
}

struct nl_msg *exchange_message(int type, int flags, void *fixed, size_t size)
{
	struct nl_msg *message = nlmsg_alloc_simple(type, flags);
	if (message && nlmsg_append(message, fixed, size, NLMSG_ALIGNTO) < 0) {
		nlmsg_free(message);
		return NULL;
	}
	return message;
}

// --- one question

struct answer {
	uint32_t sequence;
	void (*handler)(void *data, struct nlmsghdr *message);
	void *data;
	bool interrupted;
};

// Of the last message of a dump, and of an acknowledgement: both begin with an errno.
static int verdict(const struct answer *answer, struct nlmsghdr *message)
{
	int code = 0;
	if (nlmsg_datalen(message) >= (int)sizeof(code))
		memcpy(&code, nlmsg_data(message), sizeof(code));
	if (code == 0 && answer->interrupted)
		return -EAGAIN;
	return code < 0 ? code : 0;
}

// 1: more is to come.
static int read_answer(struct answer *answer, struct nlmsghdr *message, int left)
{
	for (; nlmsg_ok(message, left); message = nlmsg_next(message, &left)) {
		if (message->nlmsg_seq != answer->sequence)
			continue;
		if (message->nlmsg_flags & NLM_F_DUMP_INTR)
			answer->interrupted = true;
		if (message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE)
			return verdict(answer, message);
		if (answer->handler && message->nlmsg_type >= NLMSG_MIN_TYPE)
			answer->handler(answer->data, message);
	}
	return 1;
}

static int receive(struct exchange *exchange, struct answer *answer)
{
	_Alignas(struct nlmsghdr) char buffer[ANSWER_MAX];
	ssize_t n = recv(nl_socket_get_fd(exchange->socket), buffer, sizeof(buffer), MSG_TRUNC);
	if (n < 0)
		return errno == EINTR ? 1 : -errno;
	if ((size_t)n > sizeof(buffer))
		return -EMSGSIZE;
	return read_answer(answer, (struct nlmsghdr *)buffer, (int)n);
}

static int converse(struct exchange *exchange, struct nlmsghdr *question, struct answer *answer)
{
	answer->sequence = nl_socket_use_seq(exchange->socket);
	answer->interrupted = false;
	question->nlmsg_seq = answer->sequence;
	question->nlmsg_pid = nl_socket_get_local_port(exchange->socket);
	question->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	int r = nl_sendto(exchange->socket, question, question->nlmsg_len);
	if (r < 0)
		return to_errno(r);
	do
		r = receive(exchange, answer);
	while (r > 0);
	return r;
}

int exchange_ask(struct exchange *exchange, struct nl_msg *question,
		 void (*handler)(void *data, struct nlmsghdr *message), void *data)
{
	struct answer answer = {.handler = handler, .data = data};
	if (!question)
		return -ENOMEM;
	int r = -EAGAIN;
	for (unsigned i = 0; i < DUMP_TRIES && r == -EAGAIN; i++)
		r = converse(exchange, nlmsg_hdr(question), &answer);
	nlmsg_free(question);
	return r;
}

// --- dump and remove

struct collection {
	const struct exchange_sweep *sweep;
	char *found; // messages, each aligned
	size_t used;
	size_t room;
	bool no_memory;
};

static void collect(void *data, struct nlmsghdr *message)
{
	struct collection *collection = data;
	size_t size = NLMSG_ALIGN(message->nlmsg_len);
	if (nlmsg_datalen(message) < (int)collection->sweep->fixed ||
	    !collection->sweep->matches(message, collection->sweep->data))
		return;
	if (collection->room - collection->used < size) {
		size_t room = 2 * collection->room + size + ANSWER_MAX;
		char *found = realloc(collection->found, room);
		if (!found) {
			collection->no_memory = true;
			return;
		}
		collection->found = found;
		collection->room = room;
	}
	memcpy(collection->found + collection->used, message, message->nlmsg_len);
	collection->used += size;
}

// RTM_DEL... is one more than RTM_NEW... everywhere in rtnetlink.
static int remove_found(struct exchange *exchange, const struct collection *collection)
{
	int failed = 0;
	for (size_t at = 0; at < collection->used;) {
		struct answer answer = {0};
		struct nlmsghdr *message = (struct nlmsghdr *)(collection->found + at);
		at += NLMSG_ALIGN(message->nlmsg_len);
		message->nlmsg_type++;
		message->nlmsg_flags = 0;
		int r = converse(exchange, message, &answer);
		// Gone meanwhile, or seen twice.
		if (r < 0 && r != -ESRCH && r != -ENOENT)
			failed = r;
	}
	return failed;
}

int exchange_sweep(struct exchange *exchange, struct nl_msg *question,
		   const struct exchange_sweep *sweep)
{
	struct collection collection = {.sweep = sweep};
	int r = exchange_ask(exchange, question, collect, &collection);
	if (r == 0 && collection.no_memory)
		r = -ENOMEM;
	// Also after a failure: what was seen is removed, and the next sweep has less to do.
	int removed = remove_found(exchange, &collection);
	free(collection.found);
	return r < 0 ? r : removed;
}
