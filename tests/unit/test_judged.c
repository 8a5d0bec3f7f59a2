// SPDX-License-Identifier: Apache-2.0
// A tunnel of two ends with two workers each, where filters rule: real threads, sockets and sessions.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <netinet/in.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tun/subject.h"
#include "unit/context_fixture.h"
#include "unit/pass_fixture.h"
#include "unit/tunnel_fixture.h"

#define WORKERS 2u
#define RELOADS 200u
#define UDP	IPPROTO_UDP

static struct tunnel *tunnel;

static int set_up(void **state)
{
	(void)state;
	tunnel = tunnel_new(WORKERS);
	tunnel_renew(tunnel, 1, clock_ms());
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tunnel = tunnel_free(tunnel);
	return 0;
}

static void rule(const struct tunnel_end *end, const char *const *lines)
{
	assert_int_equal(dataplane_set_filter(end->dataplane, pass_filter(lines)), 0);
}

// From a port of the one to port 53 of the other, or, `reply`, back.
static bool passes(struct tunnel_end *from, struct tunnel_end *to, uint16_t port, bool reply)
{
	uint8_t packet[PASS_MAX], arrived[TUNNEL_MTU];
	bool up = from == &tunnel->client;
	size_t size = pass_packet(packet, up ? TUNNEL_CLIENT : TUNNEL_GATEWAY,
				  up ? TUNNEL_GATEWAY : TUNNEL_CLIENT, UDP, reply ? 53 : port,
				  reply ? port : 53, 0);
	tunnel_write(from, port % WORKERS, packet, size);
	size_t got = tunnel_read(to, TUNNEL_WAIT_MS, arrived);
	return got == size && memcmp(arrived, packet, size) == 0;
}

static void sends(struct tunnel_end *from, uint16_t port)
{
	uint8_t packet[PASS_MAX];
	bool up = from == &tunnel->client;
	size_t size = pass_packet(packet, up ? TUNNEL_CLIENT : TUNNEL_GATEWAY,
				  up ? TUNNEL_GATEWAY : TUNNEL_CLIENT, UDP, port, 53, 0);
	tunnel_write(from, 0, packet, size);
}

static void both_ends_judge(void **state)
{
	static const char *const gateway[] = {"allow alice any udp/53", "allow any alice any",
					      NULL};
	static const char *const client[] = {"inbound allow bob any any", NULL};

	(void)state;
	rule(&tunnel->gateway, gateway);
	rule(&tunnel->client, client);
	assert_true(passes(&tunnel->client, &tunnel->gateway, 5000, false));
	assert_true(passes(&tunnel->gateway, &tunnel->client, 5000, true));
	// The gateway lets it go, the client lets it not in.
	sends(&tunnel->gateway, 5001);
	tunnel_wait_drops(&tunnel->client, DROP_POLICY, 1);
	assert_int_equal(tunnel_drops(&tunnel->gateway, DROP_POLICY), 0);
	static const char *const nothing[] = {NULL};
	rule(&tunnel->gateway, nothing);
	sends(&tunnel->client, 5000);
	tunnel_wait_drops(&tunnel->gateway, DROP_POLICY, 1);
	sends(&tunnel->client, 5002);
	tunnel_wait_drops(&tunnel->gateway, DROP_POLICY, 2);
}

static void reloads_lose_nothing_of_what_stays_allowed(void **state)
{
	static const char *const one[] = {"allow alice any udp/53", NULL};
	static const char *const other[] = {"deny alice any tcp/25", "allow any any udp/53",
					    "inbound allow net any any", NULL};

	(void)state;
	for (unsigned i = 0; i < RELOADS; i++) {
		rule(&tunnel->gateway, i % 2 ? one : other);
		rule(&tunnel->client, i % 3 ? one : other);
		assert_true(
			passes(&tunnel->client, &tunnel->gateway, (uint16_t)(5000 + i % 5), false));
		assert_true(
			passes(&tunnel->gateway, &tunnel->client, (uint16_t)(5000 + i % 5), true));
		if (i % 16 == 0)
			dataplane_collect(tunnel->gateway.dataplane);
	}
	assert_int_equal(tunnel_drops(&tunnel->gateway, DROP_POLICY), 0);
	assert_int_equal(tunnel_drops(&tunnel->client, DROP_POLICY), 0);
	assert_int_equal(flows_count(dataplane_guard(tunnel->gateway.dataplane)->flows), 5);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(both_ends_judge),
		CASE(reloads_lose_nothing_of_what_stays_allowed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
