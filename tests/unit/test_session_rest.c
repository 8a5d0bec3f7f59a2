// SPDX-License-Identifier: Apache-2.0
// Sessions that come to rest, and packets that stir them, over a real tunnel.

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "unit/tunnel_fixture.h"

#define MS_NS UINT64_C(1000000)

static struct tunnel *tunnel;

static int set_up(void **state)
{
	(void)state;
	tunnel = tunnel_new(1);
	tunnel_renew(tunnel, 1, clock_ms());
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tunnel = tunnel_free(tunnel);
	return 0;
}

static bool anybody_stirs(const struct tunnel_end *end, int wait_ms)
{
	struct pollfd fd = {.fd = dataplane_stirred(end->dataplane), .events = POLLIN};
	return poll(&fd, 1, wait_ms) == 1;
}

static void count(void *data)
{
	++*(unsigned *)data;
}

// Lets it be as long ago as it takes.
static void come_to_rest(struct session *session)
{
	for (int i = 0; i < TUNNEL_WAIT_MS && !atomic_load(&session->resting); i++) {
		atomic_store(&session->spoke_ms, clock_ms() - 60000);
		atomic_store(&session->received_ms, clock_ms() - 60000);
		assert_int_equal(session_tick(session, clock_ms()), SESSION_NOTHING);
		usleep(1000);
	}
	assert_true(session_rests(session));
}

static void a_packet_stirs_a_session_at_rest(struct tunnel_end *end)
{
	unsigned stirred = 0;
	session_set_stirred(end->session, count, &stirred);
	assert_true(session_deadline(end->session) <= clock_ms() + 5000);
	come_to_rest(end->session);
	assert_true(session_deadline(end->session) > clock_ms() + 10000);
	assert_false(anybody_stirs(end, 0));
	if (end == &tunnel->client)
		tunnel_up(tunnel, 7);
	else
		tunnel_down(tunnel, 7);
	assert_true(anybody_stirs(end, TUNNEL_WAIT_MS));
	dataplane_take_stirred(end->dataplane);
	assert_int_equal(stirred, 1);
	// Once, until it has come to rest again.
	tunnel_up(tunnel, 8);
	tunnel_down(tunnel, 9);
	assert_false(anybody_stirs(end, 0));
	assert_int_equal(session_tick(end->session, clock_ms()), SESSION_NOTHING);
	assert_false(session_rests(end->session));
}

static void a_session_at_rest_is_stirred(void **state)
{
	(void)state;
	atomic_store(&tunnel->gateway.session->rtt_ns, MS_NS);
	a_packet_stirs_a_session_at_rest(&tunnel->client);
	a_packet_stirs_a_session_at_rest(&tunnel->gateway);
}

// One that is gone meanwhile is not looked for.
static void a_session_that_stirred_may_go(void **state)
{
	unsigned stirred = 0;

	(void)state;
	session_set_stirred(tunnel->client.session, count, &stirred);
	come_to_rest(tunnel->client.session);
	tunnel_up(tunnel, 7);
	assert_true(anybody_stirs(&tunnel->client, TUNNEL_WAIT_MS));
	tunnel->client.session = session_free(tunnel->client.session);
	dataplane_take_stirred(tunnel->client.dataplane);
	assert_int_equal(stirred, 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_session_at_rest_is_stirred),
		CASE(a_session_that_stirred_may_go),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
