// SPDX-License-Identifier: Apache-2.0
// UDP packets at a set rate, for the benchmark: they are sent and taken in batches, and between batches both ends sleep, so
// that on a machine which they share with a tunnel most of the CPU is the tunnel's.
//
//   blast PORT
//   blast ADDRESS PORT SIZE MS RATE [SEGMENTS [FLOWS]]
//
// The first takes what comes, until a signal ends it. The second sends packets of SIZE bytes, IPv4 and UDP headers included, for
// MS milliseconds, RATE a second (0: as fast as it can), from FLOWS ports in turn; with SEGMENTS above 1 so many go as one
// message that is cut by the kernel or behind it (UDP_SEGMENT), as QUIC sends. Then it asks the first what came, and prints it
// as JSON. Lost is what did not come; reordered, what came after a later one of its flow (RFC 4737, 3); receive_s goes from the first
// arrival to the last. Both ends run on one machine: there is no byte order on this wire.

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH	       64u // packets in one call of sendmmsg, messages in one of recvmmsg
#define FLOWS_MAX      64u
#define MESSAGE_MAX    65536u
#define HEADERS	       28u // bytes of IPv4 and UDP
#define SIZE_MAX_BYTES 1500u
#define RECEIVE_BUFFER (64 << 20)
#define NS_PER_S       UINT64_C(1000000000)
#define NS_PER_MS      UINT64_C(1000000)
// Of a slower sender a batch has fewer packets, so that they stay spread.
#define BATCHES_PER_S 2000u
#define REST_NS	      500000u
// A sender that was kept from the CPU for longer than this does not make up for it: the burst would be lost in a queue, and count
// against the tunnel.
#define LATE_NS	    NS_PER_MS
#define ANSWER_MS   50
#define ASK_NS	    (10 * NS_PER_MS)
#define TRIES_MAX   60u
#define SEGMENT_MAX 64u

enum kind { KIND_DATA, KIND_ASK };

struct header {
	uint32_t kind;
	uint32_t flow;
	uint64_t trial;	 // grows
	uint64_t number; // of the flow, from 0
};

// The answer to KIND_ASK.
struct count {
	uint64_t trial;
	uint64_t received, reordered;
	uint64_t first_ns, last_ns;
};

static _Noreturn void fail(const char *what, int error)
{
	fprintf(stderr, "blast: %s: %s\n", what, strerror(error));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
	struct timespec until = {
		.tv_sec = (time_t)(ns / NS_PER_S),
		.tv_nsec = (long)(ns % NS_PER_S),
	};
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

// --- what receives

struct receiver {
	int socket;
	struct count count;
	uint64_t next[FLOWS_MAX]; // the number after the highest one seen
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	struct sockaddr_in senders[BATCH];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control[BATCH];
	char buffers[BATCH][MESSAGE_MAX];
};

static void receiver_open(struct receiver *receiver, uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int size = RECEIVE_BUFFER, on = 1;
	receiver->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (receiver->socket < 0)
		fail("socket", errno);
	if (setsockopt(receiver->socket, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(receiver->socket, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(receiver->socket, SOL_UDP, UDP_GRO, &on, sizeof(on));
	if (bind(receiver->socket, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("bind", errno);
}

static void receiver_arm(struct receiver *receiver)
{
	for (unsigned i = 0; i < BATCH; i++) {
		receiver->parts[i] = (struct iovec){receiver->buffers[i], MESSAGE_MAX};
		receiver->messages[i].msg_hdr = (struct msghdr){
			.msg_name = &receiver->senders[i],
			.msg_namelen = sizeof(receiver->senders[i]),
			.msg_iov = &receiver->parts[i],
			.msg_iovlen = 1,
			.msg_control = &receiver->control[i],
			.msg_controllen = sizeof(receiver->control[i]),
		};
	}
}

// The size of the packets that a message was joined from.
static size_t packet_size(struct mmsghdr *message)
{
	int size = 0;
	struct cmsghdr *item = CMSG_FIRSTHDR(&message->msg_hdr);
	if (item && item->cmsg_level == SOL_UDP && item->cmsg_type == UDP_GRO)
		memcpy(&size, CMSG_DATA(item), sizeof(size));
	return size > 0 ? (size_t)size : message->msg_len;
}

static void take_packet(struct receiver *receiver, const struct header *header, uint64_t now,
			const struct sockaddr_in *from)
{
	struct count *count = &receiver->count;
	if (header->trial < count->trial || header->flow >= FLOWS_MAX)
		return;
	if (header->trial > count->trial) {
		*count = (struct count){.trial = header->trial};
		memset(receiver->next, 0, sizeof(receiver->next));
	}
	if (header->kind == KIND_ASK) {
		sendto(receiver->socket, count, sizeof(*count), 0, (const struct sockaddr *)from,
		       sizeof(*from));
		return;
	}
	if (count->received++ == 0)
		count->first_ns = now;
	count->last_ns = now;
	if (header->number < receiver->next[header->flow])
		count->reordered++;
	else
		receiver->next[header->flow] = header->number + 1;
}

static void take_message(struct receiver *receiver, unsigned i, uint64_t now)
{
	struct mmsghdr *message = &receiver->messages[i];
	struct header header;
	size_t step = packet_size(message);
	for (size_t at = 0; at + sizeof(header) <= message->msg_len; at += step) {
		memcpy(&header, receiver->buffers[i] + at, sizeof(header));
		take_packet(receiver, &header, now, &receiver->senders[i]);
	}
}

static _Noreturn void receive(uint16_t port)
{
	static struct receiver receiver;
	struct pollfd ready = {.events = POLLIN};
	receiver_open(&receiver, port);
	ready.fd = receiver.socket;
	for (;;) {
		poll(&ready, 1, -1);
		receiver_arm(&receiver);
		int count = recvmmsg(receiver.socket, receiver.messages, BATCH, MSG_DONTWAIT, NULL);
		uint64_t now = now_ns();
		for (int i = 0; i < count; i++)
			take_message(&receiver, (unsigned)i, now);
		if (count < (int)BATCH)
			sleep_until(now + REST_NS);
	}
}

// --- what sends

struct sender {
	int sockets[FLOWS_MAX];
	uint64_t numbers[FLOWS_MAX];
	unsigned flows, segments, batch; // batch: packets, a multiple of segments
	size_t payload;
	uint64_t trial;
	uint64_t sent, sent_ns;
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	char buffer[BATCH * SIZE_MAX_BYTES];
};

static void sender_open(struct sender *sender, const struct sockaddr_in *to)
{
	int segment = (int)sender->payload;
	for (unsigned flow = 0; flow < sender->flows; flow++) {
		int end = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (end < 0 || connect(end, (const struct sockaddr *)to, sizeof(*to)) < 0)
			fail("socket", errno);
		if (sender->segments > 1 &&
		    setsockopt(end, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment)) < 0)
			fail("UDP_SEGMENT", errno);
		sender->sockets[flow] = end;
	}
	for (unsigned i = 0; i < sender->batch / sender->segments; i++) {
		size_t size = sender->segments * sender->payload;
		sender->parts[i] = (struct iovec){sender->buffer + i * size, size};
		sender->messages[i].msg_hdr.msg_iov = &sender->parts[i];
		sender->messages[i].msg_hdr.msg_iovlen = 1;
	}
}

static void send_batch(struct sender *sender, unsigned flow)
{
	struct header header = {.kind = KIND_DATA, .flow = flow, .trial = sender->trial};
	for (unsigned i = 0; i < sender->batch; i++) {
		header.number = sender->numbers[flow]++;
		memcpy(sender->buffer + i * sender->payload, &header, sizeof(header));
	}
	unsigned count = sender->batch / sender->segments;
	for (unsigned done = 0; done < count;) {
		int r = sendmmsg(sender->sockets[flow], sender->messages + done, count - done, 0);
		if (r < 0 && errno != ENOBUFS) // which is one that was lost
			fail("sendmmsg", errno);
		done += r > 0 ? (unsigned)r : 1;
	}
	sender->sent += sender->batch;
}

// `interval`: between batches.
static void sender_run(struct sender *sender, uint64_t duration_ns, uint64_t interval)
{
	uint64_t begin = now_ns(), due = begin, now;
	for (unsigned turn = 0; (now = now_ns()) < begin + duration_ns;) {
		if (now < due) {
			sleep_until(due);
			continue;
		}
		send_batch(sender, turn++ % sender->flows);
		due = now > due + LATE_NS ? now + interval : due + interval;
	}
	sender->sent_ns = now - begin;
}

static bool ask_once(const struct sender *sender, struct count *ret)
{
	struct header header = {.kind = KIND_ASK, .trial = sender->trial};
	struct pollfd ready = {.fd = sender->sockets[0], .events = POLLIN};
	struct count count;
	// Nobody may listen yet: then the last question is answered by an error.
	if (send(ready.fd, &header, sizeof(header), 0) < 0 || poll(&ready, 1, ANSWER_MS) <= 0 ||
	    recv(ready.fd, &count, sizeof(count), MSG_DONTWAIT) != sizeof(count) ||
	    count.trial != sender->trial)
		return false;
	*ret = count;
	return true;
}

// What came, once no more comes: a question may overtake what it asks for.
static struct count sender_ask(const struct sender *sender)
{
	struct count count, before = {.received = UINT64_MAX};
	for (unsigned i = 0; i < TRIES_MAX; i++) {
		bool answered = ask_once(sender, &count);
		if (answered && count.received == before.received)
			return count;
		if (answered)
			before = count;
		sleep_until(now_ns() + ASK_NS);
	}
	fail("no answer of the other end", ETIMEDOUT);
}

static void print_result(const struct sender *sender, const struct count *count)
{
	printf("{\"sent\": %llu, \"received\": %llu, \"lost\": %lld, \"reordered\": %llu, "
	       "\"send_s\": %.6f, \"receive_s\": %.6f}\n",
	       (unsigned long long)sender->sent, (unsigned long long)count->received,
	       (long long)(sender->sent - count->received), (unsigned long long)count->reordered,
	       (double)sender->sent_ns / (double)NS_PER_S,
	       (double)(count->last_ns - count->first_ns) / (double)NS_PER_S);
}

static unsigned long number(const char *text, unsigned long least, unsigned long most)
{
	char *end;
	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (errno || end == text || *end || value < least || value > most) {
		fprintf(stderr, "blast: %s: a number from %lu to %lu is wanted\n", text, least,
			most);
		exit(2);
	}
	return value;
}

static void send_all(const struct sockaddr_in *to, int count, char **options)
{
	static struct sender sender;
	size_t size = number(options[0], HEADERS + sizeof(struct header), SIZE_MAX_BYTES);
	uint64_t duration_ns = number(options[1], 1, 3600000) * NS_PER_MS;
	unsigned long rate = number(options[2], 0, 100000000);
	sender.payload = size - HEADERS;
	sender.segments = count > 3 ? (unsigned)number(options[3], 1, SEGMENT_MAX) : 1;
	sender.flows = count > 4 ? (unsigned)number(options[4], 1, FLOWS_MAX) : 1;
	if (sender.segments * size > UINT16_MAX)
		fail("so many segments of this size", EMSGSIZE);
	unsigned long want =
		rate == 0 || rate / BATCHES_PER_S > BATCH ? BATCH : rate / BATCHES_PER_S;
	unsigned messages = (unsigned)want / sender.segments;
	sender.batch = (messages ? messages : 1) * sender.segments;
	sender.trial = now_ns();
	sender_open(&sender, to);
	sender_ask(&sender);
	prctl(PR_SET_TIMERSLACK, 1);
	sender_run(&sender, duration_ns, rate ? sender.batch * NS_PER_S / rate : 0);
	struct count result = sender_ask(&sender);
	print_result(&sender, &result);
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	if (argc == 2)
		receive((uint16_t)number(argv[1], 1, UINT16_MAX));
	if (argc < 6 || argc > 8 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
		fprintf(stderr, "usage: blast PORT\n"
				"       blast ADDRESS PORT SIZE MS RATE [SEGMENTS [FLOWS]]\n");
		return 2;
	}
	to.sin_port = htons((uint16_t)number(argv[2], 1, UINT16_MAX));
	send_all(&to, argc - 3, argv + 3);
	return 0;
}
