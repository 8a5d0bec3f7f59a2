// SPDX-License-Identifier: Apache-2.0
// Real sockets on the loopback interface, of which 127.0.0.0/8 gives many addresses.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <poll.h>
#include <unistd.h>
#include <netinet/udp.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "tun/datagram.h"

#define SIZE	1000u
#define WAIT_MS 3000

struct ends {
	int a, b; // b is bound to any address
	struct endpoint to_b;
	struct datagram_out *out;
	struct datagram_in *in;
};

static struct endpoint endpoint_from(const char *text)
{
	struct endpoint endpoint;
	assert_int_equal(endpoint_parse(text, &endpoint), 0);
	return endpoint;
}

static struct addr addr_from(const char *text)
{
	struct addr addr;
	assert_int_equal(addr_parse(text, &addr), 0);
	return addr;
}

static void ends_open(struct ends *ends, const char *any, const char *target)
{
	struct endpoint endpoint = endpoint_from(any);
	ends->a = datagram_open(&endpoint, false, 0);
	if (ends->a == -EAFNOSUPPORT)
		skip();
	ends->b = datagram_open(&endpoint, false, 0);
	assert_true(ends->a >= 0 && ends->b >= 0);
	ends->to_b = (struct endpoint){.addr = addr_from(target), .port = datagram_port(ends->b)};
	assert_true(ends->to_b.port != 0);
	ends->out = calloc(1, sizeof(*ends->out));
	ends->in = calloc(1, sizeof(*ends->in));
	assert_true(ends->out && ends->in);
	assert_int_equal(datagram_out_init(ends->out), 0);
	assert_int_equal(datagram_in_init(ends->in), 0);
	ends->out->segmentation = true;
}

static void ends_close(struct ends *ends)
{
	close(ends->a);
	close(ends->b);
	datagram_out_done(ends->out);
	datagram_in_done(ends->in);
	free(ends->out);
	free(ends->in);
}

// Adds a datagram: `size` bytes of `fill`.
static void put_marked(struct ends *ends, const struct datagram_peer *peer,
		       struct datagram_way *way, uint8_t ecn, uint8_t fill, size_t size)
{
	uint8_t *room = datagram_room(ends->out, size);
	assert_non_null(room);
	memset(room, fill, size);
	datagram_add(ends->out, peer, way, ecn, size);
}

static void put(struct ends *ends, const struct datagram_peer *peer, uint8_t fill, size_t size)
{
	put_marked(ends, peer, NULL, 0, fill, size);
}

static unsigned send_all(int fd, struct datagram_out *out)
{
	unsigned refused = datagram_send(fd, out, 0, out->count);
	out->count = 0;
	out->used = 0;
	return refused;
}

static int receive(int fd, struct datagram_in *in)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	if (poll(&poll_fd, 1, WAIT_MS) != 1)
		return 0;
	return datagram_receive(fd, 9, in);
}

static const uint8_t *entry(const struct datagram_in *in, unsigned i)
{
	return in->data + (size_t)i * DATAGRAM_STRIDE;
}

static void check_arrival(const struct ends *ends, unsigned at, uint8_t fill, size_t size)
{
	const uint8_t *data = entry(ends->in, at);
	const struct datagram_peer *peer = &ends->in->peers[at];
	assert_int_equal(ends->in->sizes[at], size);
	assert_int_equal(ends->in->segments[at], size);
	assert_int_equal(ends->in->ecn[at], 0);
	assert_int_equal(data[0], fill);
	assert_int_equal(data[size - 1], fill);
	assert_int_equal(peer->slot, 9);
	assert_int_equal(peer->remote.port, datagram_port(ends->a));
	assert_true(addr_equal(&peer->local, &ends->to_b.addr));
}

static void carry_batch(struct ends *ends, uint8_t fill)
{
	struct datagram_peer peer = {.remote = ends->to_b};
	unsigned got = 0;
	// Each larger than the one before: none continues a run.
	for (unsigned i = 0; i < DATAGRAM_BATCH; i++)
		put(ends, &peer, (uint8_t)(fill + i), SIZE + i);
	assert_null(datagram_room(ends->out, 1));
	assert_int_equal(ends->out->count, DATAGRAM_BATCH);
	assert_int_equal(send_all(ends->a, ends->out), 0);
	while (got < DATAGRAM_BATCH) {
		int n = receive(ends->b, ends->in);
		assert_true(n > 0);
		assert_int_equal(n, ends->in->count);
		for (unsigned i = 0; i < (unsigned)n; i++, got++)
			check_arrival(ends, i, (uint8_t)(fill + got), SIZE + got);
	}
}

static void carry_batches(const char *any, const char *target)
{
	struct ends ends;
	ends_open(&ends, any, target);
	assert_int_equal(datagram_receive(ends.b, 0, ends.in), 0);
	for (unsigned round = 0; round < 3; round++)
		carry_batch(&ends, (uint8_t)(round * 64));
	assert_int_equal(datagram_receive(ends.b, 0, ends.in), 0);
	assert_int_equal(ends.in->count, 0);
	ends_close(&ends);
}

static void carries_batches_over_ipv4(void **state)
{
	(void)state;
	carry_batches("0.0.0.0:0", "127.0.0.1");
}

static void carries_batches_over_ipv6(void **state)
{
	(void)state;
	carry_batches("[::]:0", "::1");
}

static void sends_a_part_of_a_batch(void **state)
{
	struct ends ends;

	(void)state;
	ends_open(&ends, "0.0.0.0:0", "127.0.0.1");
	struct datagram_peer peer = {.remote = ends.to_b};
	for (unsigned i = 0; i < 10; i++)
		put(&ends, &peer, (uint8_t)i, 10 + i);
	assert_int_equal(datagram_send(ends.a, ends.out, 3, 5), 0);
	assert_int_equal(receive(ends.b, ends.in), 2);
	assert_int_equal(entry(ends.in, 0)[0], 3);
	assert_int_equal(entry(ends.in, 1)[0], 4);
	ends_close(&ends);
}

// --- runs

// Takes everything that `count` datagrams came in: returns the number of entries, and checks that datagram i is of `fill` + i,
// all of `size` bytes but the last, which has `last`.
static unsigned take_run(struct ends *ends, unsigned count, uint8_t fill, size_t size, size_t last)
{
	unsigned got = 0, entries = 0;
	while (got < count) {
		int n = receive(ends->b, ends->in);
		assert_true(n > 0);
		for (unsigned i = 0; i < (unsigned)n; i++, entries++) {
			size_t at = 0;
			for (; at < ends->in->sizes[i]; at += ends->in->segments[i], got++) {
				size_t left = ends->in->sizes[i] - at;
				size_t part =
					left < ends->in->segments[i] ? left : ends->in->segments[i];
				assert_int_equal(part, got + 1 == count ? last : size);
				assert_int_equal(entry(ends->in, i)[at], (uint8_t)(fill + got));
				assert_int_equal(entry(ends->in, i)[at + part - 1],
						 (uint8_t)(fill + got));
			}
		}
	}
	assert_int_equal(got, count);
	return entries;
}

static void a_run_travels_in_one_piece(void **state)
{
	struct ends ends;

	(void)state;
	ends_open(&ends, "0.0.0.0:0", "127.0.0.1");
	struct datagram_peer peer = {.remote = ends.to_b};
	assert_true(datagram_can_segment(ends.a));
	assert_true(datagram_enable_joining(ends.b));
	for (unsigned i = 0; i < 40; i++)
		put(&ends, &peer, (uint8_t)i, i == 39 ? 77 : SIZE);
	assert_int_equal(ends.out->count, 1);
	assert_int_equal(ends.out->runs[0].count, 40);
	assert_int_equal(send_all(ends.a, ends.out), 0);
	assert_int_equal(take_run(&ends, 40, 0, SIZE, 77), 1);
	// Somebody without UDP_GRO gets them one by one.
	close(ends.b);
	struct endpoint endpoint = ends.to_b;
	ends.b = datagram_open(&endpoint, false, 0);
	for (unsigned i = 0; i < 40; i++)
		put(&ends, &peer, (uint8_t)i, SIZE);
	assert_int_equal(send_all(ends.a, ends.out), 0);
	assert_int_equal(take_run(&ends, 40, 0, SIZE, SIZE), 40);
	ends_close(&ends);
}

static void what_breaks_a_run(void **state)
{
	struct ends ends;
	struct datagram_way singly = {.singly = true};

	(void)state;
	ends_open(&ends, "0.0.0.0:0", "127.0.0.1");
	struct datagram_peer peer = {.remote = ends.to_b};
	struct datagram_peer other = {.remote = ends.to_b, .slot = 1};
	struct datagram_peer from = {.remote = ends.to_b, .local = addr_from("127.0.0.9")};
	put(&ends, &peer, 0, 100);
	put(&ends, &peer, 0, 100);
	put(&ends, &peer, 0, 99); // a shorter one is the last
	put(&ends, &peer, 0, 99);
	put(&ends, &peer, 0, 100); // a longer one begins anew
	put_marked(&ends, &peer, NULL, 3, 0, 100);
	put(&ends, &other, 0, 100);
	put(&ends, &from, 0, 100);
	put(&ends, &from, 0, 100);
	put_marked(&ends, &peer, &singly, 0, 0, 100);
	put_marked(&ends, &peer, &singly, 0, 0, 100);
	static const unsigned counts[] = {3, 1, 1, 1, 1, 2, 1, 1};
	assert_int_equal(ends.out->count, 8);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(ends.out->runs[i].count, counts[i]);
	ends.out->count = 0;
	ends.out->used = 0;
	for (unsigned i = 0; i <= DATAGRAM_RUN_MAX; i++)
		put(&ends, &peer, 0, 10);
	assert_int_equal(ends.out->count, 2);
	assert_int_equal(ends.out->runs[0].count, DATAGRAM_RUN_MAX);
	ends.out->count = 0;
	ends.out->used = 0;
	for (unsigned i = 0; i < 60; i++)
		put(&ends, &peer, 0, 1300);
	assert_int_equal(ends.out->runs[0].count, DATAGRAM_RUN_SIZE / 1300);
	ends_close(&ends);
}

static void marks_arrive(const char *any, const char *target)
{
	struct ends ends;
	ends_open(&ends, any, target);
	struct datagram_peer peer = {.remote = ends.to_b};
	for (uint8_t ecn = 0; ecn < 4; ecn++) {
		put_marked(&ends, &peer, NULL, ecn, ecn, 100);
		put_marked(&ends, &peer, NULL, ecn, ecn, 100);
	}
	assert_int_equal(ends.out->count, 4);
	assert_int_equal(send_all(ends.a, ends.out), 0);
	for (unsigned got = 0; got < 8;) {
		int n = receive(ends.b, ends.in);
		assert_true(n > 0);
		for (unsigned i = 0; i < (unsigned)n; i++, got++)
			assert_int_equal(ends.in->ecn[i], entry(ends.in, i)[0]);
	}
	ends_close(&ends);
}

static void marks_arrive_over_ipv4(void **state)
{
	(void)state;
	marks_arrive("0.0.0.0:0", "127.0.0.1");
}

static void marks_arrive_over_ipv6(void **state)
{
	(void)state;
	marks_arrive("[::]:0", "::1");
}

static int forced_code; // of every run of more than one; 0: none is forced
int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);
int __real_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);

int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
	unsigned singles = 0;
	while (forced_code && singles < count) {
		struct cmsghdr *c = CMSG_FIRSTHDR(&messages[singles].msg_hdr);
		if (c && c->cmsg_level == SOL_UDP)
			break;
		singles++;
	}
	if (!forced_code || singles > 0)
		return __real_sendmmsg(fd, messages, forced_code ? singles : count, flags);
	errno = forced_code;
	return -1;
}

// Sends single, run, single, run while the kernel refuses runs: all must arrive, in order.
static void send_refused(struct ends *ends, struct datagram_way *way, int code)
{
	struct datagram_peer peer = {.remote = ends->to_b};
	uint8_t fill = 0;
	for (unsigned i = 0; i < 2; i++) {
		put_marked(ends, &peer, way, 0, fill++, 50 + 100 * i);
		for (unsigned j = 0; j < 3; j++)
			put_marked(ends, &peer, way, 0, fill++, 100 + 100 * i);
	}
	forced_code = code;
	assert_int_equal(send_all(ends->a, ends->out), 0);
	forced_code = 0;
	for (uint8_t got = 0; got < fill;) {
		int n = receive(ends->b, ends->in);
		assert_true(n > 0);
		for (unsigned i = 0; i < (unsigned)n; i++, got++)
			assert_int_equal(entry(ends->in, i)[0], got);
	}
}

static void refused_runs_go_singly_and_teach(void **state)
{
	struct ends ends;
	struct datagram_way io = {0}, invalid = {0}, size = {0};

	(void)state;
	ends_open(&ends, "0.0.0.0:0", "127.0.0.1");
	send_refused(&ends, NULL, EIO);
	send_refused(&ends, &io, EIO);
	assert_true(io.singly);
	send_refused(&ends, &invalid, EINVAL); // two runs
	assert_false(invalid.singly);
	send_refused(&ends, &invalid, EINVAL);
	assert_true(invalid.singly);
	for (unsigned i = 0; i < 5; i++)
		send_refused(&ends, &size, EMSGSIZE);
	assert_false(size.singly);
	ends_close(&ends);
}

static void an_answer_leaves_from_where_the_question_came_to(void **state)
{
	static const char *const asked[] = {"127.0.0.1", "127.0.0.5", "127.9.8.7"};
	struct ends ends;

	(void)state;
	ends_open(&ends, "0.0.0.0:0", "127.0.0.1");
	for (unsigned i = 0; i < 3; i++) {
		struct datagram_peer peer = {.remote = ends.to_b};
		peer.remote.addr = addr_from(asked[i]);
		put(&ends, &peer, 1, 10);
		assert_int_equal(send_all(ends.a, ends.out), 0);
		assert_int_equal(receive(ends.b, ends.in), 1);
		assert_true(addr_equal(&ends.in->peers[0].local, &peer.remote.addr));
		put(&ends, &ends.in->peers[0], 2, 10);
		assert_int_equal(send_all(ends.b, ends.out), 0);
		assert_int_equal(receive(ends.a, ends.in), 1);
		assert_true(endpoint_equal(&ends.in->peers[0].remote, &peer.remote));
	}
	ends_close(&ends);
}

static void leave_in_spite_of(const char *any, const char *target, const char *vanished)
{
	struct ends ends;
	ends_open(&ends, any, target);
	struct datagram_peer good = {.remote = ends.to_b};
	struct datagram_peer gone = {.remote = ends.to_b, .local = addr_from(vanished)};
	put(&ends, &good, 0, 10);
	put(&ends, &gone, 1, 10);
	put(&ends, &good, 2, 10);
	assert_int_equal(send_all(ends.a, ends.out), 0);
	assert_int_equal(receive(ends.b, ends.in), 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(entry(ends.in, i)[0], i);
		assert_true(addr_equal(&ends.in->peers[i].remote.addr, &ends.to_b.addr));
	}
	ends_close(&ends);
}

static void a_vanished_local_address_does_not_matter(void **state)
{
	(void)state;
	leave_in_spite_of("0.0.0.0:0", "127.0.0.1", "192.0.2.77");
}

static void a_vanished_local_ipv6_address_does_not_matter(void **state)
{
	(void)state;
	leave_in_spite_of("[::]:0", "::1", "2001:db8::77");
}

static void what_the_kernel_refuses_is_skipped(void **state)
{
	struct ends ends;

	(void)state;
	ends_open(&ends, "0.0.0.0:0", "127.0.0.1");
	struct datagram_peer good = {.remote = ends.to_b};
	struct datagram_peer bad = {.remote = endpoint_from("127.0.0.1:0")};
	struct datagram_peer other_family = {.remote = endpoint_from("[::1]:9")};
	put(&ends, &bad, 0, 10);
	put(&ends, &good, 1, 10);
	put(&ends, &other_family, 2, 10);
	put(&ends, &good, 3, 10);
	assert_int_equal(send_all(ends.a, ends.out), 2);
	assert_int_equal(receive(ends.b, ends.in), 2);
	assert_int_equal(entry(ends.in, 0)[0], 1);
	assert_int_equal(entry(ends.in, 1)[0], 3);
	ends_close(&ends);
}

static void an_endpoint_is_shared_only_when_asked(void **state)
{
	struct endpoint endpoint = endpoint_from("127.0.0.1:0");

	(void)state;
	_cleanup_(closep) int first = datagram_open(&endpoint, true, 0);
	assert_true(first >= 0);
	endpoint.port = datagram_port(first);
	_cleanup_(closep) int second = datagram_open(&endpoint, true, 0);
	assert_true(second >= 0);
	assert_int_equal(datagram_port(second), endpoint.port);
	assert_int_equal(datagram_open(&endpoint, false, 0), -EADDRINUSE);
	endpoint = endpoint_from("192.0.2.77:0");
	assert_int_equal(datagram_open(&endpoint, false, 0), -EADDRNOTAVAIL);
	assert_int_equal(datagram_port(-1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(carries_batches_over_ipv4),
		cmocka_unit_test(carries_batches_over_ipv6),
		cmocka_unit_test(sends_a_part_of_a_batch),
		cmocka_unit_test(a_run_travels_in_one_piece),
		cmocka_unit_test(what_breaks_a_run),
		cmocka_unit_test(marks_arrive_over_ipv4),
		cmocka_unit_test(marks_arrive_over_ipv6),
		cmocka_unit_test(refused_runs_go_singly_and_teach),
		cmocka_unit_test(an_answer_leaves_from_where_the_question_came_to),
		cmocka_unit_test(a_vanished_local_address_does_not_matter),
		cmocka_unit_test(a_vanished_local_ipv6_address_does_not_matter),
		cmocka_unit_test(what_the_kernel_refuses_is_skipped),
		cmocka_unit_test(an_endpoint_is_shared_only_when_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
