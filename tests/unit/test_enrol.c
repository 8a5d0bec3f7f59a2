// SPDX-License-Identifier: Apache-2.0
// Who gets in beside others. Real TCP on loopback, and bare clients that speak HTTP over TLS.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <cmocka.h>
#include <openssl/err.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/ca.h"
#include "server/admit.h"
#include "server/enrol.h"
#include "tun/connection.h"
#include "unit/bare_peer.h"
#include "unit/context_fixture.h"

#define BOB	    "spiffe://corp.example/laptop/bob"
#define HTTP	    "\x08http/1.1"
#define ASK	    "GET /.well-known/est/cacerts HTTP/1.1\r\nHost: x\r\n\r\n"
#define SAME	    8u
#define PATIENCE_MS 20000u

struct plant {
	sd_event *event;
	char *directory, *ca;
	struct fixture *root, *alice, *bob;
	struct tls_context *context;
	struct enrol *enrol;
	int listener;
	struct sockaddr_in where;
	struct connection *opened;
};

// One that dials.
struct peer {
	SSL_CTX *context;
	SSL *ssl;
	int fd;
};

static const char *const patterns[] = {"spiffe://corp.example/**"};
static const struct admit_options admit = {.patterns = patterns, .pattern_count = 1};

static int set_up(void **state)
{
	struct plant *plant = calloc(1, sizeof(*plant));
	socklen_t size = sizeof(plant->where);

	plant->directory = fixture_directory();
	plant->ca = fixture_path(plant->directory, "ca");
	assert_int_equal(ca_init(plant->ca, FIXTURE_DOMAIN, NULL), 0);
	plant->root = fixture_root("root");
	plant->alice = fixture_leaf(plant->root, FIXTURE_ALICE);
	plant->bob = fixture_leaf(plant->root, BOB);
	_cleanup_(fixture_freep) struct fixture *gateway =
		fixture_leaf(plant->root, FIXTURE_GATEWAY);
	plant->context = fixture_context(TLS_SERVER, gateway, plant->root);
	tls_context_allow_http(plant->context);
	assert_true(sd_event_new(&plant->event) >= 0);
	assert_int_equal(enrol_new(plant->event, plant->ca, NULL, &admit, &plant->enrol, NULL), 0);
	plant->where = (struct sockaddr_in){.sin_family = AF_INET,
					    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	plant->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(plant->listener, (struct sockaddr *)&plant->where, size), 0);
	assert_int_equal(listen(plant->listener, 4), 0);
	assert_int_equal(getsockname(plant->listener, (struct sockaddr *)&plant->where, &size), 0);
	*state = plant;
	return 0;
}

static int tear_down(void **state)
{
	struct plant *plant = *state;

	enrol_free(plant->enrol);
	close(plant->listener);
	sd_event_unref(plant->event);
	tls_context_put(plant->context);
	fixture_free(plant->bob);
	fixture_free(plant->alice);
	fixture_free(plant->root);
	fixture_directory_free(plant->ca);
	fixture_directory_free(plant->directory);
	free(plant);
	return 0;
}

static void on_event(struct connection *connection, const struct channel_event *event, void *data)
{
	struct plant *plant = data;

	assert_int_equal(event->type, CHANNEL_OPEN);
	connection_detach(connection);
	plant->opened = connection;
}

static void spin(struct plant *plant)
{
	assert_true(sd_event_run(plant->event, 1000) >= 0);
}

// `leaf` NULL: shows no certificate. The connection is the service's, or closed by it.
static void dial(struct plant *plant, const struct fixture *leaf, struct peer *peer)
{
	struct bare bare = {.leaf = leaf, .alpn = HTTP};
	struct connection *connection;
	uint64_t until = clock_ms() + PATIENCE_MS;

	peer->context = bare_context(&bare);
	peer->ssl = bare_ssl(peer->context, &bare);
	peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(peer->fd, (struct sockaddr *)&plant->where, sizeof(plant->where)),
			 0);
	assert_int_equal(fcntl(peer->fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(SSL_set_fd(peer->ssl, peer->fd), 1);
	plant->opened = NULL;
	int fd = accept4(plant->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_int_equal(
		connection_accept(plant->event, fd, plant->context, on_event, plant, &connection),
		0);
	while ((SSL_do_handshake(peer->ssl) != 1 || !plant->opened) && clock_ms() < until)
		spin(plant);
	assert_non_null(plant->opened);
	enrol_take(plant->enrol, plant->opened);
}

static void hang_up(struct peer *peer)
{
	SSL_free(peer->ssl);
	SSL_CTX_free(peer->context);
	close(peer->fd);
}

// Asks for what everybody may know. False: the connection is closed.
static bool served(struct plant *plant, const struct peer *peer)
{
	uint64_t until = clock_ms() + PATIENCE_MS;
	char answer[4096];

	SSL_write(peer->ssl, ASK, (int)strlen(ASK));
	while (clock_ms() < until) {
		ERR_clear_error(); // the other end stands in this thread, too
		int n = SSL_read(peer->ssl, answer, sizeof(answer));
		if (n > 0)
			return memcmp(answer, "HTTP/1.1 200", 12) == 0;
		if (SSL_get_error(peer->ssl, n) != SSL_ERROR_WANT_READ)
			return false;
		spin(plant);
	}
	fail_msg("no answer");
	return false;
}

static bool dial_once(struct plant *plant, const struct fixture *leaf)
{
	struct peer peer;

	dial(plant, leaf, &peer);
	bool good = served(plant, &peer);
	hang_up(&peer);
	return good;
}

// As many as may be, then one of them makes room.
static void fill(struct plant *plant, const struct fixture *leaf, const struct fixture *other)
{
	struct peer peers[SAME];
	uint64_t until = clock_ms() + PATIENCE_MS;
	bool good = false;

	for (unsigned i = 0; i < SAME; i++) {
		dial(plant, leaf, &peers[i]);
		assert_true(served(plant, &peers[i]));
	}
	assert_false(dial_once(plant, leaf));
	assert_true(dial_once(plant, other));
	hang_up(&peers[0]);
	while (!good && clock_ms() < until)
		good = dial_once(plant, leaf);
	assert_true(good);
	for (unsigned i = 1; i < SAME; i++)
		hang_up(&peers[i]);
}

static void one_identity_leaves_room_for_others(void **state)
{
	struct plant *plant = *state;

	fill(plant, plant->alice, plant->bob);
}

static void strangers_leave_room_for_who_is_known(void **state)
{
	struct plant *plant = *state;

	fill(plant, NULL, plant->alice);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(one_identity_leaves_room_for_others),
		TEST(strangers_leave_room_for_who_is_known),
	};

	signal(SIGPIPE, SIG_IGN); // of who is not served
	return cmocka_run_group_tests(tests, NULL, NULL);
}
