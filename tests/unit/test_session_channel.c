// SPDX-License-Identifier: Apache-2.0
// Packets that go in the channel: two data planes, and between their sessions a TLS connection on a loop that the test runs.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <endian.h>
#include <string.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tun/connection.h"
#include "tun/outlet.h"
#include "tun/path.h"
#include "tun/session_channel.h"
#include "tun/session_control.h"
#include "unit/context_fixture.h"
#include "unit/listen_fixture.h"
#include "unit/tunnel_fixture.h"

#define WORKERS	    2u
#define PATIENCE_MS 20000u
#define MANY	    20000u

struct end {
	struct tunnel_end *tunnel;
	struct connection *connection;
	bool open;
	unsigned packets; // that came in the channel, without what the ends ask each other
};

static struct tunnel *tunnel;
static struct end client, gateway;
static sd_event *event;

static void on_event(struct connection *connection, const struct channel_event *happened,
		     void *data)
{
	struct end *end = data;
	(void)connection;
	end->open |= happened->type == CHANNEL_OPEN;
	if (happened->type == CHANNEL_ROOM)
		session_channel_ready(end->tunnel->session);
	if (happened->type != CHANNEL_PACKET)
		return;
	end->packets += happened->packet_size > TUNNEL_PACKET;
	session_channel_take(end->tunnel->session, happened->packet, happened->packet_size);
}

// What the control thread does, for a moment.
static void turn(void)
{
	outlet_run(dataplane_outlet(client.tunnel->dataplane), client.tunnel->dataplane);
	outlet_run(dataplane_outlet(gateway.tunnel->dataplane), gateway.tunnel->dataplane);
	assert_true(sd_event_run(event, 500) >= 0);
}

static void turn_until(const bool *what)
{
	for (uint64_t end = clock_ms() + PATIENCE_MS; !*what;) {
		assert_true(clock_ms() < end);
		turn();
	}
}

static void connect_ends(void)
{
	struct endpoint endpoint;
	int listener = listen_here(&endpoint);
	assert_int_equal(connection_dial(event, &endpoint, 0, client.tunnel->context,
					 FIXTURE_GATEWAY, on_event, &client, &client.connection),
			 0);
	int fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	assert_int_equal(connection_accept(event, fd, gateway.tunnel->context, on_event, &gateway,
					   &gateway.connection),
			 0);
	close(listener);
	turn_until(&client.open);
	turn_until(&gateway.open);
}

static int set_up(void **state)
{
	(void)state;
	tunnel = tunnel_new(WORKERS);
	client = (struct end){.tunnel = &tunnel->client};
	gateway = (struct end){.tunnel = &tunnel->gateway};
	assert_int_equal(sd_event_new(&event), 0);
	connect_ends();
	tunnel_renew(tunnel, 1, clock_ms());
	session_channel_use(tunnel->client.session, &client.connection);
	session_channel_use(tunnel->gateway.session, &gateway.connection);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tunnel = tunnel_free(tunnel);
	client.connection = connection_free(client.connection);
	gateway.connection = connection_free(gateway.connection);
	event = sd_event_unref(event);
	return 0;
}

// Reads, while the control thread turns, until the packet with this number comes; others may come before it.
static void comes(struct tunnel_end *end, uint32_t number)
{
	uint8_t packet[TUNNEL_MTU];
	for (uint64_t until = clock_ms() + PATIENCE_MS; clock_ms() < until;) {
		turn();
		if (tunnel_read(end, 0, packet) == TUNNEL_PACKET && tunnel_number(packet) == number)
			return;
	}
	fail();
}

// Both ends are in the channel.
static void enter(void)
{
	session_channel_enter(tunnel->client.session, clock_ms());
	for (unsigned i = 0; i < WORKERS; i++) {
		tunnel_write_up(tunnel, i, 100 + i);
		comes(&tunnel->gateway, 100 + i);
	}
	assert_true(session_in_channel(tunnel->client.session));
	assert_true(session_in_channel(tunnel->gateway.session));
}

static void both_ways_go_in_the_channel(void **state)
{
	(void)state;
	enter();
	unsigned before = client.packets;
	for (unsigned i = 0; i < WORKERS; i++) {
		tunnel_write_down(tunnel, i, 200 + i);
		comes(&tunnel->client, 200 + i);
	}
	assert_true(client.packets >= before + WORKERS);
	for (unsigned drop = DROP_NONE + 1; drop <= DROP_LAST; drop++) {
		assert_int_equal(tunnel_drops(&tunnel->client, drop), 0);
		assert_int_equal(tunnel_drops(&tunnel->gateway, drop), 0);
	}
	assert_int_equal(atomic_load(&tunnel->client.session->channel_bytes), 0);
}

static void wait_until(const _Atomic bool *what)
{
	for (uint64_t end = clock_ms() + PATIENCE_MS; !atomic_load(what);) {
		assert_true(clock_ms() < end);
		turn();
	}
}

// What is asked over UDP is answered there, and leads nobody there; packets do.
static void a_question_moves_nobody_and_its_answer_does(void **state)
{
	(void)state;
	struct session *session = tunnel->client.session;
	enter();
	struct path *asked = atomic_load(&session->udp);
	assert_non_null(asked);
	uint64_t now = clock_ms();
	assert_int_equal(session_tick(session, now), SESSION_NOTHING);
	assert_false(atomic_load(&asked->confirmed));
	session_tick(session, now + DETOUR_ASK_MIN_MS);
	wait_until(&asked->confirmed);
	assert_true(session_in_channel(tunnel->gateway.session));
	tunnel_write_down(tunnel, 0, 1);
	comes(&tunnel->client, 1);
	assert_true(session_in_channel(session)); // before it has seen the answer

	session_tick(session, now + DETOUR_ASK_MIN_MS + DETOUR_LOOK_MS);
	assert_false(session_in_channel(session));
	unsigned before = gateway.packets;
	for (unsigned i = 0; i < WORKERS; i++) {
		tunnel_write_up(tunnel, i, 2 + i);
		comes(&tunnel->gateway, 2 + i);
	}
	assert_false(session_in_channel(tunnel->gateway.session));
	assert_int_equal(gateway.packets, before);
	tunnel_write_down(tunnel, 0, 9);
	comes(&tunnel->client, 9);
}

static void a_client_is_not_led_by_its_gateway(void **state)
{
	(void)state;
	// The gateway's packets come in the channel, as they do for a moment after the client has left it.
	struct datagram_peer peer = {.slot = DATAPLANE_CHANNEL,
				     .session = tunnel->gateway.session->index};
	for (unsigned i = 0; i < WORKERS; i++)
		path_replace(tunnel->gateway.session, i, path_new(&peer, true));
	tunnel_write_down(tunnel, 0, 1);
	comes(&tunnel->client, 1);
	assert_int_not_equal(client.packets, 0);
	assert_false(session_in_channel(tunnel->client.session));
}

static void a_channel_carries_its_own_session_alone(void **state)
{
	(void)state;
	struct session *session = tunnel->gateway.session;
	struct packet_header header = {.type = PACKET_DATA};
	uint8_t packet[PACKET_OVERHEAD] = {0};
	uint32_t index = htobe32(session->index ^ 1);
	memcpy(header.index, &index, sizeof(index));
	memcpy(packet, &header, sizeof(header));
	session_channel_take(session, packet, sizeof(packet));
	assert_int_equal(tunnel_drops(&tunnel->gateway, DROP_INDEX), 1);
	session_channel_take(session, packet, sizeof(packet) - 1);
	assert_int_equal(tunnel_drops(&tunnel->gateway, DROP_SHORT), 1);
	// Nor does a right index prove anything.
	index = htobe32(session->index);
	memcpy(packet + offsetof(struct packet_header, index), &index, sizeof(index));
	packet[offsetof(struct packet_header, epoch)] = 1;
	packet[offsetof(struct packet_header, counter) + 7] = 99;
	session_channel_take(session, packet, sizeof(packet));
	tunnel_wait_drops(&tunnel->gateway, DROP_TAG, 1);
	assert_false(session_in_channel(session));
}

static void what_waits_is_bounded_in_bytes(void **state)
{
	(void)state;
	struct session *session = tunnel->client.session;
	enter();
	struct connection *lost = client.connection;
	client.connection = NULL;
	for (uint32_t i = 0; i < MANY; i++)
		tunnel_write_up(tunnel, i % WORKERS, i);
	while (tunnel_drops(&tunnel->client, DROP_CHANNEL) == 0)
		usleep(1000);
	assert_in_range(atomic_load(&session->channel_bytes), OUTLET_SESSION_MAX / 2,
			OUTLET_SESSION_MAX);
	client.connection = lost;
}

static void what_waits_is_bounded_in_time(void **state)
{
	(void)state;
	struct session *session = tunnel->client.session;
	enter();
	struct connection *lost = client.connection;
	client.connection = NULL;
	tunnel_write_up(tunnel, 0, 1);
	while (atomic_load(&session->channel_bytes) == 0)
		usleep(1000);
	turn();
	usleep((CHANNEL_AGE_MS + 50) * 1000);
	client.connection = lost;
	session_channel_ready(session);
	assert_int_equal(tunnel_drops(&tunnel->client, DROP_CHANNEL), 1);
	assert_int_equal(atomic_load(&session->channel_bytes), 0);
	tunnel_write_up(tunnel, 0, 2);
	comes(&tunnel->gateway, 2);
}

// The next keys, and packets of both epochs on their way.
static void epochs_change_in_the_channel(void **state)
{
	(void)state;
	enter();
	tunnel_dial(tunnel);
	tunnel_install(tunnel, &tunnel->gateway, 2, clock_ms());
	tunnel_write_up(tunnel, 0, 1);
	tunnel_write_down(tunnel, 0, 2);
	comes(&tunnel->gateway, 1);
	comes(&tunnel->client, 2);
	tunnel_install(tunnel, &tunnel->client, 2, clock_ms());
	tunnel_write_up(tunnel, 1, 3);
	comes(&tunnel->gateway, 3);
	assert_int_equal(tunnel_epoch(&tunnel->gateway), 2);
	tunnel_write_down(tunnel, 1, 4);
	comes(&tunnel->client, 4);
	assert_true(session_in_channel(tunnel->gateway.session));
	assert_true(session_in_channel(tunnel->client.session));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(both_ways_go_in_the_channel, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_question_moves_nobody_and_its_answer_does, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_client_is_not_led_by_its_gateway, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_channel_carries_its_own_session_alone, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(what_waits_is_bounded_in_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_waits_is_bounded_in_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(epochs_change_in_the_channel, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
