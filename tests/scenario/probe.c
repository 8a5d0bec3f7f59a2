// SPDX-License-Identifier: Apache-2.0
// Counts packets that a path loses. Two of these run, one at each end: both send numbered UDP packets at a steady rate and
// note which of the other's arrived, so that each direction is measured by itself and no answer is needed. SIGUSR1 starts
// the sending, SIGTERM ends it; a second later (packets on the way still count) one line of JSON says what was seen.
//   probe LOCAL REMOTE PORT [RATE [SIZE [TOKEN]]]
// Times are CLOCK_MONOTONIC, one clock for all network namespaces: delays are real, and a script can lay its own
// events beside them.
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S  1000000000u
#define NS_PER_MS 1000000.0
#define GRACE_NS  NS_PER_S
// A sender that slept longer than this leaves the missed packets out rather than send them as one burst: a burst would
// overflow a queue and be counted as loss.
#define LATE_NS	   UINT64_C(50000000)
#define NUMBER_MAX (1u << 23)
#define PACKET_MAX 1400u
#define GAPS_MAX   32u

struct packet {
	uint32_t token;	 // of this run, so that a straggler of an earlier one does not count
	uint32_t number; // from 0
	uint64_t sent_ns;
};

struct probe {
	int socket, signals;
	struct sockaddr_storage remote;
	socklen_t remote_size;
	uint32_t token;
	size_t size;
	uint64_t interval_ns;

	bool sending, ending;
	uint64_t next_ns, end_ns;
	uint32_t sent;
	uint64_t errors;
	int last_error;

	uint32_t *seen_ms; // per number: when it was sent, in ms of the clock, 0: not seen
	uint32_t unique, highest;
	uint64_t duplicates, reordered, foreign;
	uint64_t first_ns, last_ns, gap_ns, gap_end_ns, delay_ns, delay_sum_ns;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static int address(const char *host, const char *port, struct sockaddr_storage *ret,
		   socklen_t *ret_size)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				 .ai_socktype = SOCK_DGRAM};
	struct addrinfo *found = NULL;
	int r = getaddrinfo(host, port, &hints, &found);

	if (r != 0) {
		fprintf(stderr, "probe: %s port %s: %s\n", host, port, gai_strerror(r));
		return -EINVAL;
	}
	memcpy(ret, found->ai_addr, found->ai_addrlen);
	*ret_size = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

static int open_socket(const char *local, const char *port)
{
	struct sockaddr_storage from;
	socklen_t size;
	int buffer = 8 << 20;

	if (address(local, port, &from, &size) < 0)
		return -EINVAL;
	int fd = socket(from.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&from, size) < 0) {
		fprintf(stderr, "probe: bind to %s port %s: %s\n", local, port, strerror(errno));
		return -errno;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	return fd;
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

// A packet that the kernel refuses (no route, full queue) was meant to go and did not: it counts as sent, so that it
// shows as lost.
static void send_one(struct probe *probe, uint64_t now)
{
	uint8_t bytes[PACKET_MAX] = {0};
	struct packet packet = {.token = probe->token, .number = probe->sent, .sent_ns = now};

	memcpy(bytes, &packet, sizeof(packet));
	if (sendto(probe->socket, bytes, probe->size, 0, (const struct sockaddr *)&probe->remote,
		   probe->remote_size) < 0) {
		probe->errors++;
		probe->last_error = errno;
	}
	probe->sent++;
	probe->next_ns += probe->interval_ns;
	if (now > probe->next_ns + LATE_NS)
		probe->next_ns = now + probe->interval_ns;
}

static void note(struct probe *probe, const struct packet *packet, uint64_t now)
{
	uint64_t delay = now > packet->sent_ns ? now - packet->sent_ns : 0;

	if (packet->number >= NUMBER_MAX || packet->token != probe->token) {
		probe->foreign++;
		return;
	}
	if (probe->seen_ms[packet->number] != 0) {
		probe->duplicates++;
		return;
	}
	probe->seen_ms[packet->number] = (uint32_t)(packet->sent_ns / 1000000u) | 1u;
	if (probe->unique != 0 && packet->number < probe->highest)
		probe->reordered++;
	else
		probe->highest = packet->number;
	if (probe->unique == 0)
		probe->first_ns = now;
	else if (now - probe->last_ns > probe->gap_ns) {
		probe->gap_ns = now - probe->last_ns;
		probe->gap_end_ns = now;
	}
	probe->last_ns = now;
	probe->unique++;
	probe->delay_sum_ns += delay;
	if (delay > probe->delay_ns)
		probe->delay_ns = delay;
}

static void receive_all(struct probe *probe)
{
	uint8_t bytes[PACKET_MAX];
	struct packet packet;
	ssize_t size;

	while ((size = recv(probe->socket, bytes, sizeof(bytes), 0)) >= 0) {
		if ((size_t)size != probe->size) {
			probe->foreign++;
			continue;
		}
		memcpy(&packet, bytes, sizeof(packet));
		note(probe, &packet, now_ns());
	}
}

static void take_signals(struct probe *probe, uint64_t now)
{
	struct signalfd_siginfo info;

	while (read(probe->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR1 && !probe->sending && !probe->ending) {
			probe->sending = true;
			probe->next_ns = now;
		} else if (info.ssi_signo != SIGUSR1 && !probe->ending) {
			probe->sending = false;
			probe->ending = true;
			probe->end_ns = now + GRACE_NS;
		}
	}
}

static void run(struct probe *probe)
{
	struct pollfd polled[] = {{.fd = probe->socket, .events = POLLIN},
				  {.fd = probe->signals, .events = POLLIN}};

	for (;;) {
		uint64_t now = now_ns();
		uint64_t until = now + NS_PER_S;

		if (probe->sending && probe->sent < NUMBER_MAX) {
			if (now >= probe->next_ns)
				send_one(probe, now);
			until = probe->next_ns;
		}
		if (probe->ending) {
			if (now >= probe->end_ns)
				return;
			until = probe->end_ns;
		}
		uint64_t wait = until > now ? until - now : 0;
		struct timespec timeout = {.tv_sec = (time_t)(wait / NS_PER_S),
					   .tv_nsec = (long)(wait % NS_PER_S)};

		if (ppoll(polled, 2, &timeout, NULL) <= 0)
			continue;
		receive_all(probe);
		take_signals(probe, now_ns());
	}
}

// [first number, how many, when the packet before it was sent in ms of the clock]
static void report_gaps(const struct probe *probe)
{
	unsigned shown = 0;

	for (uint32_t i = 0; i < probe->highest && shown < GAPS_MAX; i++) {
		uint32_t first = i;

		while (i < probe->highest && probe->seen_ms[i] == 0)
			i++;
		if (i == first)
			continue;
		printf("%s[%u,%u,%u]", shown++ == 0 ? "" : ",", first, i - first,
		       first == 0 ? 0 : probe->seen_ms[first - 1]);
	}
}

static void report(const struct probe *probe)
{
	double mean =
		probe->unique == 0 ? 0 : (double)probe->delay_sum_ns / probe->unique / NS_PER_MS;

	printf("{\"sent\":%u,\"received\":%u,\"duplicates\":%llu,\"reordered\":%llu,"
	       "\"foreign\":%llu,\"send_errors\":%llu,\"last_send_error\":\"%s\","
	       "\"first_ms\":%.3f,\"last_ms\":%.3f,\"longest_gap_ms\":%.3f,\"longest_gap_end_ms\":%.3f,"
	       "\"longest_delay_ms\":%.3f,\"mean_delay_ms\":%.3f,\"missing\":[",
	       probe->sent, probe->unique, (unsigned long long)probe->duplicates,
	       (unsigned long long)probe->reordered, (unsigned long long)probe->foreign,
	       (unsigned long long)probe->errors,
	       probe->last_error != 0 ? strerror(probe->last_error) : "",
	       (double)probe->first_ns / NS_PER_MS, (double)probe->last_ns / NS_PER_MS,
	       (double)probe->gap_ns / NS_PER_MS, (double)probe->gap_end_ns / NS_PER_MS,
	       (double)probe->delay_ns / NS_PER_MS, mean);
	report_gaps(probe);
	printf("]}\n");
}

static bool number(const char *text, unsigned long min, unsigned long max, unsigned long *ret)
{
	char *end = NULL;
	unsigned long value = strtoul(text, &end, 10);

	if (*text == 0 || *end != 0 || value < min || value > max) {
		fprintf(stderr, "probe: \"%s\" is not a number from %lu to %lu\n", text, min, max);
		return false;
	}
	*ret = value;
	return true;
}

int main(int argc, char **argv)
{
	unsigned long rate = 1000, size = 64, token = 0;
	struct probe probe = {0};

	if (argc < 4 || argc > 7) {
		fprintf(stderr, "usage: probe LOCAL REMOTE PORT [RATE [SIZE [TOKEN]]]\n");
		return 2;
	}
	if ((argc > 4 && !number(argv[4], 1, 100000, &rate)) ||
	    (argc > 5 && !number(argv[5], sizeof(struct packet), PACKET_MAX, &size)) ||
	    (argc > 6 && !number(argv[6], 0, UINT32_MAX, &token)))
		return 2;
	if (address(argv[2], argv[3], &probe.remote, &probe.remote_size) < 0)
		return 2;
	probe.size = size;
	probe.token = (uint32_t)token;
	probe.interval_ns = NS_PER_S / rate;
	probe.seen_ms = calloc(NUMBER_MAX, sizeof(*probe.seen_ms));
	probe.signals = open_signals();
	probe.socket = open_socket(argv[1], argv[3]);
	if (probe.seen_ms == NULL || probe.signals < 0 || probe.socket < 0) {
		free(probe.seen_ms);
		return 1;
	}
	printf("ready\n");
	fflush(stdout);
	run(&probe);
	report(&probe);
	free(probe.seen_ms);
	close(probe.socket);
	close(probe.signals);
	return 0;
}
