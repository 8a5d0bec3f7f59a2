// SPDX-License-Identifier: Apache-2.0
// Real sockets on the loopback, real loops: one per node, run in turn, or on a thread of its own.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/verify.h"
#include "tun/connection.h"
#include "unit/context_fixture.h"
#include "unit/listen_fixture.h"

#define PATIENCE_MS 20000u

// One end, and what it was told.
struct node {
	sd_event *event;
	struct connection *connection;
	unsigned opens, messages, packets, closes, failures;
	size_t bytes;
	struct message last; // no routes
	struct error error;
	bool sending;
	bool greet;					      // when open, say PING and a packet
	enum channel_event_type free_at, detach_at, close_at; // CHANNEL_NONE: never
};

static struct fixture *root, *foreign_root;
static struct tls_context *gateway, *alice, *mallory;

static int set_up(void **state)
{
	(void)state;
	root = fixture_root("root");
	foreign_root = fixture_root("foreign");
	struct fixture *gateway_leaf = fixture_leaf(root, FIXTURE_GATEWAY);
	struct fixture *alice_leaf = fixture_leaf(root, FIXTURE_ALICE);
	struct fixture *mallory_leaf = fixture_leaf(foreign_root, FIXTURE_ALICE);
	gateway = fixture_context(TLS_SERVER, gateway_leaf, root);
	alice = fixture_context(TLS_CLIENT, alice_leaf, root);
	mallory = fixture_context(TLS_CLIENT, mallory_leaf, root);
	fixture_free(gateway_leaf);
	fixture_free(alice_leaf);
	fixture_free(mallory_leaf);
	return gateway && alice && mallory ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	tls_context_put(gateway);
	tls_context_put(alice);
	tls_context_put(mallory);
	fixture_free(root);
	fixture_free(foreign_root);
	return 0;
}

static unsigned count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;
	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void greet(struct connection *connection)
{
	struct message ping = {.type = MESSAGE_PING, .ping = {.token = 1}};
	assert_int_equal(connection_send(connection, &ping), 0);
	assert_int_equal(connection_send_packet(connection, "packet", 6), 0);
}

static void on_event(struct connection *connection, const struct channel_event *event, void *data)
{
	struct node *node = data;
	assert_false(node->sending);			    // never from within connection_send()
	assert_int_equal(node->closes + node->failures, 0); // those come last
	assert_true(!node->connection || node->connection == connection);
	node->opens += event->type == CHANNEL_OPEN;
	node->closes += event->type == CHANNEL_CLOSED;
	node->failures += event->type == CHANNEL_FAILED;
	node->messages += event->type == CHANNEL_MESSAGE;
	if (event->type == CHANNEL_FAILED)
		node->error = *connection_error(connection);
	if (event->type == CHANNEL_MESSAGE)
		node->last = event->message;
	if (event->type == CHANNEL_PACKET) {
		node->packets++;
		node->bytes += event->packet_size;
	}
	if (event->type == CHANNEL_OPEN && node->greet)
		greet(connection);
	if (event->type == node->detach_at)
		connection_detach(connection);
	if (event->type == node->close_at) {
		struct message_bye bye = {.code = BYE_REFUSED, .text = "no"};
		connection_close(take(node->connection), &bye);
	} else if (event->type == node->free_at) {
		node->connection = connection_free(node->connection);
	}
}

static void node_init(struct node *node)
{
	if (!node->event)
		assert_int_equal(sd_event_new(&node->event), 0);
}

static void node_done(struct node *node)
{
	node->connection = connection_free(node->connection);
	node->event = sd_event_unref(node->event);
}

// Both are on their way; nothing has run yet.
static void meet(struct node *client, struct node *server, struct tls_context *context)
{
	struct endpoint endpoint;
	_cleanup_(closep) int listener = listen_here(&endpoint);
	node_init(client);
	node_init(server);
	assert_int_equal(connection_dial(client->event, &endpoint, 0, context,
					 "spiffe://corp.example/gateway/*", on_event, client,
					 &client->connection),
			 0);
	int fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	assert_int_equal(connection_accept(server->event, fd, gateway, on_event, server,
					   &server->connection),
			 0);
}

static void run_once(struct node *node, uint64_t wait_us)
{
	if (node->event)
		assert_true(sd_event_run(node->event, wait_us) >= 0);
}

// Runs both loops until `*counter` is `value` at least.
static void run_until(struct node *one, struct node *two, const unsigned *counter, unsigned value)
{
	uint64_t end = clock_ms() + PATIENCE_MS;
	while (*counter < value) {
		run_once(one, 500);
		if (two)
			run_once(two, 500);
		assert_true(clock_ms() < end);
	}
}

static void meet_open(struct node *client, struct node *server)
{
	meet(client, server, alice);
	run_until(client, server, &client->opens, 1);
	run_until(client, server, &server->opens, 1);
}

static void assert_option(int fd, int level, int name, int value)
{
	int found = -1;
	socklen_t size = sizeof(found);
	assert_int_equal(getsockopt(fd, level, name, &found, &size), 0);
	assert_int_equal(found, value);
}

static void opens_and_talks(void **unused)
{
	struct node client = {.greet = true}, server = {.greet = true};
	unsigned before = count_descriptors();
	(void)unused;
	meet_open(&client, &server);
	run_until(&client, &server, &client.packets, 1);
	run_until(&client, &server, &server.packets, 1);
	assert_int_equal(client.messages, 1);
	assert_int_equal(server.messages, 1);
	assert_int_equal(server.last.type, MESSAGE_PING);
	struct endpoint there = connection_peer(client.connection);
	struct endpoint here = connection_local(server.connection);
	assert_true(endpoint_equal(&there, &here));
	here = connection_local(client.connection);
	there = connection_peer(server.connection);
	assert_true(endpoint_equal(&there, &here));
	assert_string_equal(
		verdict_identity(channel_verdict(connection_channel(server.connection))),
		FIXTURE_ALICE);
	struct message_bye bye = {.code = BYE_RENEWED, .text = "new"};
	connection_close(take(client.connection), &bye);
	run_until(&server, &client, &server.closes, 1);
	assert_int_equal(server.last.type, MESSAGE_BYE);
	assert_int_equal(server.last.bye.code, BYE_RENEWED);
	assert_int_equal(connection_send_packet(server.connection, "x", 1), -ENOTCONN);
	node_done(&server);
	for (unsigned i = 0; i < 100; i++)
		run_once(&client, 1000);
	client.event = sd_event_unref(client.event);
	assert_int_equal(count_descriptors(), before);
}

static int find_socket(void)
{
	// The newest descriptor that is a connected TCP socket.
	struct sockaddr_storage peer;
	for (int fd = 1023; fd > 2; fd--) {
		socklen_t size = sizeof(peer);
		if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0)
			return fd;
	}
	return -1;
}

static void sets_options(void **unused)
{
	struct node client = {0}, server = {0};
	(void)unused;
	meet_open(&client, &server);
	int fd = find_socket();
	assert_true(fd >= 0);
	assert_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	assert_option(fd, SOL_SOCKET, SO_KEEPALIVE, 0); // see stream.c
	assert_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 10000);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	node_done(&client);
	node_done(&server);
}

// What the server refuses is on its way while the client talks as if it were admitted: the alert must arrive all the same,
// not a reset.
static void refusal_reaches_the_client(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < 50; i++) {
		struct node client = {.greet = true};
		struct node server = {.free_at = CHANNEL_FAILED};
		unsigned before = count_descriptors();
		meet(&client, &server, mallory);
		unsigned during = count_descriptors();
		run_until(&client, &server, &client.failures, 1);
		assert_int_equal(client.opens, 1);
		assert_int_equal(client.error.code, EKEYREJECTED);
		assert_non_null(strstr(client.error.what, "the peer refused our certificate"));
		assert_int_equal(server.failures, 1);
		assert_null(server.connection);
		// It waits for the client to close first.
		assert_int_equal(count_descriptors(), during);
		node_done(&client);
		for (unsigned j = 0; j < 5; j++)
			run_once(&server, 1000);
		server.event = sd_event_unref(server.event);
		assert_int_equal(count_descriptors(), before);
	}
}

static void refused_port(void **unused)
{
	struct node client = {.free_at = CHANNEL_FAILED};
	struct endpoint endpoint;
	char text[ERROR_TEXT_MAX];
	(void)unused;
	node_init(&client);
	close(listen_here(&endpoint));
	assert_int_equal(connection_dial(client.event, &endpoint, 0, alice, NULL, on_event, &client,
					 &client.connection),
			 0);
	run_until(&client, NULL, &client.failures, 1);
	assert_int_equal(client.error.code, ECONNREFUSED);
	error_text(&client.error, text, sizeof(text));
	assert_non_null(strstr(text, "127.0.0.1:"));
	assert_non_null(strstr(text, "connecting failed: Connection refused"));
	node_done(&client);
}

static void handler_may_free(void **unused)
{
	static const enum channel_event_type types[] = {CHANNEL_OPEN, CHANNEL_MESSAGE,
							CHANNEL_PACKET};
	(void)unused;
	for (size_t i = 0; i < 2 * sizeof(types) / sizeof(types[0]); i++) {
		struct node client = {.greet = true, .free_at = CHANNEL_CLOSED};
		struct node server = {.greet = true};
		if (i % 2)
			server.free_at = types[i / 2];
		else
			server.close_at = types[i / 2];
		meet(&client, &server, alice);
		run_until(&client, &server, &client.closes, 1);
		assert_int_equal(server.closes + server.failures, 0);
		assert_null(server.connection);
		assert_null(client.connection);
		if (server.close_at) {
			assert_int_equal(client.last.type, MESSAGE_BYE);
			assert_int_equal(client.last.bye.code, BYE_REFUSED);
		}
		node_done(&client);
		node_done(&server);
	}
}

// Loses nothing on the way from loop to loop.
static void moves_between_loops(void **unused)
{
	struct node client = {.greet = true}, first = {.detach_at = CHANNEL_OPEN}, second = {0};
	(void)unused;
	meet(&client, &first, alice);
	run_until(&client, &first, &first.opens, 1);
	for (unsigned i = 0; i < 20; i++) {
		run_once(&client, 500);
		run_once(&first, 500);
	}
	assert_int_equal(first.messages + first.packets, 0);
	node_init(&second);
	second.connection = take(first.connection);
	first.event = sd_event_unref(first.event);
	assert_int_equal(connection_send_packet(second.connection, "early", 5),
			 0); // detached, yet sent
	assert_int_equal(connection_attach(second.connection, second.event, on_event, &second), 0);
	run_until(&client, &second, &second.packets, 1);
	assert_int_equal(second.messages, 1);
	run_until(&client, &second, &client.packets, 1);
	greet(second.connection);
	run_until(&client, &second, &client.packets, 2);
	node_done(&client);
	node_done(&second);
}

// The handshake on one thread, the rest on another, which takes the connection while the handler still returns.
struct handover {
	pthread_mutex_t lock;
	struct connection *connection;
	bool stop;
};

static void on_handshake(struct connection *connection, const struct channel_event *event,
			 void *data)
{
	struct handover *handover = data;
	if (event->type != CHANNEL_OPEN)
		return;
	connection_detach(connection);
	pthread_mutex_lock(&handover->lock);
	handover->connection = connection;
	pthread_mutex_unlock(&handover->lock);
	usleep(1000);
}

static void *control_thread(void *data)
{
	struct handover *handover = data;
	struct node node = {.free_at = CHANNEL_CLOSED};
	node_init(&node);
	for (uint64_t end = clock_ms() + PATIENCE_MS; !node.closes && clock_ms() < end;) {
		pthread_mutex_lock(&handover->lock);
		struct connection *came = take(handover->connection);
		pthread_mutex_unlock(&handover->lock);
		if (came) {
			node.connection = came;
			connection_attach(came, node.event, on_event, &node);
			greet(came);
		}
		sd_event_run(node.event, 500);
	}
	bool good = node.messages == 2 && node.packets == 1 && node.closes == 1;
	node_done(&node);
	return good ? data : NULL;
}

static void moves_between_threads(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < 20; i++) {
		struct handover handover = {.lock = PTHREAD_MUTEX_INITIALIZER};
		struct node client = {.greet = true}, server = {0};
		struct endpoint endpoint;
		struct connection *connection;
		pthread_t thread;
		void *good;
		int listener = listen_here(&endpoint);
		node_init(&client);
		node_init(&server);
		assert_int_equal(pthread_create(&thread, NULL, control_thread, &handover), 0);
		assert_int_equal(connection_dial(client.event, &endpoint, 0, alice, NULL, on_event,
						 &client, &client.connection),
				 0);
		int fd = accept(listener, NULL, NULL);
		assert_int_equal(connection_accept(server.event, fd, gateway, on_handshake,
						   &handover, &connection),
				 0);
		run_until(&client, &server, &client.packets, 1);
		connection_close(take(client.connection), &(struct message_bye){.text = "done"});
		assert_int_equal(pthread_join(thread, &good), 0);
		assert_ptr_equal(good, &handover);
		node_done(&client);
		node_done(&server);
		close(listener);
	}
}

static void carries_a_backlog(void **unused)
{
	static uint8_t packet[60000];
	struct node client = {0}, server = {0};
	unsigned queued = 0;
	(void)unused;
	meet_open(&client, &server);
	for (unsigned i = 0; i < 1000; i++) {
		int r = connection_send_packet(client.connection, packet, sizeof(packet));
		if (r == -ENOBUFS)
			break;
		assert_int_equal(r, 0);
		queued++;
	}
	assert_in_range(queued, CHANNEL_OUTPUT_MAX / sizeof(packet), 999);
	run_until(&server, &client, &server.packets, queued);
	assert_int_equal(server.bytes, queued * sizeof(packet));
	// A close waits for what is queued.
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(connection_send_packet(client.connection, packet, sizeof(packet)),
				 0);
	connection_close(take(client.connection), NULL);
	run_until(&server, &client, &server.closes, 1);
	assert_int_equal(server.packets, queued + 10);
	node_done(&client);
	node_done(&server);
}

// The peer is gone with a reset: no SIGPIPE, and the news comes from the loop.
static void reset_is_told_by_the_loop(void **unused)
{
	struct node client = {0}, server = {0};
	(void)unused;
	meet_open(&client, &server);
	connection_detach(client.connection);
	greet(server.connection);
	usleep(20000);
	client.connection = connection_free(client.connection); // with unread bytes: a reset
	server.sending = true;
	for (unsigned i = 0; i < 20; i++) {
		struct message ping = {.type = MESSAGE_PING};
		assert_int_equal(connection_send(server.connection, &ping), 0);
		usleep(1000);
	}
	server.sending = false;
	run_until(&server, NULL, &server.failures, 1);
	assert_true(server.error.code == ECONNRESET || server.error.code == EPIPE);
	node_done(&client);
	node_done(&server);
}

static void closing_dies_with_its_loop(void **unused)
{
	struct node client = {0}, server = {0};
	unsigned before = count_descriptors();
	(void)unused;
	meet_open(&client, &server);
	connection_detach(client.connection);
	connection_close(take(server.connection), NULL);
	run_once(&server, 1000);
	node_done(&server);
	node_done(&client);
	assert_int_equal(count_descriptors(), before);
	// Closing what is detached or has not arrived is closing at once.
	client = server = (struct node){0};
	meet_open(&client, &server);
	connection_detach(client.connection);
	connection_close(take(client.connection), NULL);
	run_until(&server, NULL, &server.closes, 1);
	node_done(&server);
	node_done(&client);
	client = server = (struct node){0};
	meet(&client, &server, alice);
	connection_close(take(client.connection), NULL);
	run_until(&server, NULL, &server.failures, 1);
	assert_string_equal(server.error.what,
			    "the connection was closed during the TLS handshake");
	node_done(&server);
	node_done(&client);
	assert_int_equal(count_descriptors(), before);
}

// Real time: a client that never completes its handshake, a byte at a time, and a peer that never closes.
static void waits_for_nobody(void **unused)
{
	struct node client = {0}, server = {0}, slow = {.free_at = CHANNEL_FAILED};
	struct endpoint endpoint;
	unsigned before;
	(void)unused;
	meet_open(&client, &server);
	connection_detach(client.connection);
	int listener = listen_here(&endpoint);
	struct sockaddr_storage address;
	socklen_t size = endpoint_to_sockaddr(&endpoint, AF_INET, &address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, size), 0);
	slow.event = sd_event_ref(server.event);
	assert_int_equal(connection_accept(slow.event, accept(listener, NULL, NULL), gateway,
					   on_event, &slow, &slow.connection),
			 0);
	before = count_descriptors();
	uint64_t start = clock_ms();
	connection_close(take(server.connection), NULL);
	uint64_t closed = 0;
	// The start of a handshake record of 512 bytes.
	static const uint8_t hello[] = {22, 3, 1, 2, 0, 1, 0, 1, 0xfc};
	for (unsigned i = 0; !slow.failures; i++) {
		send(fd, i < sizeof(hello) ? hello + i : hello + 4, 1, MSG_NOSIGNAL);
		run_once(&server, 20000);
		usleep(50000);
		if (!closed && count_descriptors() < before)
			closed = clock_ms();
		assert_true(clock_ms() - start < CHANNEL_HANDSHAKE_MS + 2000);
	}
	assert_in_range(closed - start, CONNECTION_LINGER_MS - 10, CONNECTION_LINGER_MS + 1500);
	assert_in_range(clock_ms() - start, CHANNEL_HANDSHAKE_MS - 10, CHANNEL_HANDSHAKE_MS + 1500);
	assert_int_equal(slow.error.code, ETIMEDOUT);
	assert_null(slow.connection);
	close(fd);
	close(listener);
	node_done(&slow);
	node_done(&client);
	node_done(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_and_talks),
		cmocka_unit_test(sets_options),
		cmocka_unit_test(refusal_reaches_the_client),
		cmocka_unit_test(refused_port),
		cmocka_unit_test(handler_may_free),
		cmocka_unit_test(moves_between_loops),
		cmocka_unit_test(moves_between_threads),
		cmocka_unit_test(carries_a_backlog),
		cmocka_unit_test(reset_is_told_by_the_loop),
		cmocka_unit_test(closing_dies_with_its_loop),
		cmocka_unit_test(waits_for_nobody),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
