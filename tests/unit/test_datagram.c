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
#include <cmocka.h>

#include "base/cleanup.h"
#include "tun/datagram.h"

#define SIZE	1000u
#define WAIT_MS 3000

struct ends {
	int a, b; // b is bound to any address
	struct endpoint to_b;
	struct datagram_batch *out, *in;
};

static struct datagram_batch *batch_new(size_t size)
{
	struct datagram_batch *batch = malloc(sizeof(*batch));
	assert_non_null(batch);
	assert_int_equal(datagram_batch_init(batch, size), 0);
	return batch;
}

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
	ends->out = batch_new(SIZE);
	ends->in = batch_new(SIZE);
}

static void ends_close(struct ends *ends)
{
	close(ends->a);
	close(ends->b);
	datagram_batch_done(ends->out);
	datagram_batch_done(ends->in);
	free(ends->out);
	free(ends->in);
}

// Entry `at` of the batch: `size` bytes of `fill`.
static void put(struct datagram_batch *batch, unsigned at, const struct datagram_peer *peer,
		uint8_t fill, size_t size)
{
	memset(batch->data + at * batch->stride, fill, size);
	batch->sizes[at] = size;
	batch->peers[at] = *peer;
	batch->count = at + 1;
}

static int receive(int fd, struct datagram_batch *batch)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	if (poll(&poll_fd, 1, WAIT_MS) != 1)
		return 0;
	return datagram_receive(fd, 9, batch);
}

static void check_arrival(const struct ends *ends, unsigned at, uint8_t fill, size_t size)
{
	const uint8_t *data = ends->in->data + at * ends->in->stride;
	const struct datagram_peer *peer = &ends->in->peers[at];
	assert_int_equal(ends->in->sizes[at], size);
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
	for (unsigned i = 0; i < DATAGRAM_BATCH; i++)
		put(ends->out, i, &peer, (uint8_t)(fill + i), SIZE - i);
	assert_int_equal(datagram_send(ends->a, ends->out, 0, DATAGRAM_BATCH), 0);
	while (got < DATAGRAM_BATCH) {
		int n = receive(ends->b, ends->in);
		assert_true(n > 0);
		assert_int_equal(n, ends->in->count);
		for (unsigned i = 0; i < (unsigned)n; i++, got++)
			check_arrival(ends, i, (uint8_t)(fill + got), SIZE - got);
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
		put(ends.out, i, &peer, (uint8_t)i, 10);
	assert_int_equal(datagram_send(ends.a, ends.out, 3, 5), 0);
	assert_int_equal(receive(ends.b, ends.in), 2);
	assert_int_equal(ends.in->data[0], 3);
	assert_int_equal(ends.in->data[ends.in->stride], 4);
	ends_close(&ends);
}

static void what_is_too_long_has_size_zero(void **state)
{
	struct ends ends;

	(void)state;
	ends_open(&ends, "0.0.0.0:0", "127.0.0.1");
	struct datagram_peer peer = {.remote = ends.to_b};
	struct datagram_batch *small = batch_new(128);
	put(ends.out, 0, &peer, 1, 129);
	put(ends.out, 1, &peer, 2, 128);
	put(ends.out, 2, &peer, 3, 0); // UDP carries nothing, too
	assert_int_equal(datagram_send(ends.a, ends.out, 0, 3), 0);
	assert_int_equal(receive(ends.b, small), 3);
	assert_int_equal(small->sizes[0], 0);
	assert_int_equal(small->sizes[1], 128);
	assert_int_equal(small->data[small->stride], 2);
	assert_int_equal(small->sizes[2], 0);
	datagram_batch_done(small);
	free(small);
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
		put(ends.out, 0, &peer, 1, 10);
		assert_int_equal(datagram_send(ends.a, ends.out, 0, 1), 0);
		assert_int_equal(receive(ends.b, ends.in), 1);
		assert_true(addr_equal(&ends.in->peers[0].local, &peer.remote.addr));
		put(ends.out, 0, &ends.in->peers[0], 2, 10);
		assert_int_equal(datagram_send(ends.b, ends.out, 0, 1), 0);
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
	put(ends.out, 0, &good, 0, 10);
	put(ends.out, 1, &gone, 1, 10);
	put(ends.out, 2, &good, 2, 10);
	assert_int_equal(datagram_send(ends.a, ends.out, 0, 3), 0);
	assert_int_equal(receive(ends.b, ends.in), 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(ends.in->data[i * ends.in->stride], i);
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
	put(ends.out, 0, &bad, 0, 10);
	put(ends.out, 1, &good, 1, 10);
	put(ends.out, 2, &other_family, 2, 10);
	put(ends.out, 3, &good, 3, 10);
	assert_int_equal(datagram_send(ends.a, ends.out, 0, 4), 2);
	assert_int_equal(receive(ends.b, ends.in), 2);
	assert_int_equal(ends.in->data[0], 1);
	assert_int_equal(ends.in->data[ends.in->stride], 3);
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
		cmocka_unit_test(what_is_too_long_has_size_zero),
		cmocka_unit_test(an_answer_leaves_from_where_the_question_came_to),
		cmocka_unit_test(a_vanished_local_address_does_not_matter),
		cmocka_unit_test(a_vanished_local_ipv6_address_does_not_matter),
		cmocka_unit_test(what_the_kernel_refuses_is_skipped),
		cmocka_unit_test(an_endpoint_is_shared_only_when_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
