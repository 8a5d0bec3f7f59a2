// SPDX-License-Identifier: Apache-2.0
// Many sessions on one gateway, for the benchmark. Each has an identity of its own, certified here and now by the gateway's
// CA; it says HELLO, gets READY with its lease, and then does what a node does that has nothing to send: once in a keepalive
// period it probes over UDP, every fourth time it pings on its channel, and it answers the gateway's probes.
//
//   load CA-DIRECTORY DOMAIN COUNT ADDRESS:PORT
//
// The identities are spiffe://DOMAIN/load/0 and so on. It prints "COUNT sessions in N ms" once all are READY, and keeps
// them until a signal ends it. It prints "COUNT told in N ms" once all were told of a denial, from the first to the last, and likewise
// "COUNT revoked in N ms" once all were revoked. A session that is refused, or lost otherwise, or that gets no answers over UDP for
// some periods ends it at once with exit status 1.

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <openssl/pem.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/error.h"
#include "bench/load_path.h"
#include "pki/credential.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "tun/connection.h"
#include "tun/packet.h"
#include "unit/pki_fixture.h"

// The gateway lets a source have eight handshakes at once; a node at the same address needs room as well.
#define AT_ONCE	  6u
#define COUNT_MAX 60000ul
#define TEXT_MAX  512u

// What is due within so much time goes together: for this process it is cheaper.
#define TICK_US	     4000u   // probes and answers
#define PINGS_US     100000u // pings
#define PING_PERIODS 4u

// A probe without an answer goes again so often, each time after PROBE_AGAIN_MS, as a node's does. A node gives up soon after; here
// it is the next period's turn.
#define PROBES_AGAIN   2u
#define SILENT_PERIODS 3u

struct peer {
	struct load *load;
	struct tls_context *context; // until it dials
	struct connection *connection;
	bool ready;
	bool revoked;
};

// Something that happens to all of them.
struct wave {
	const char *name;
	unsigned count;
	uint64_t begin_ms;
};

struct load {
	sd_event *event;
	sd_event_source *next; // dials those that are next
	struct fixture root, issuing;
	struct trust *trust;
	struct endpoint gateway;
	struct peer *peers;
	unsigned count, dialled, ready;
	struct load_path *paths;
	uint64_t keepalive_ms;	  // 0: no READY yet
	uint64_t turn, turn_us;	  // modulo count: whose period begins next, and when
	uint64_t pinged, ping_us; // the same of the pings
	uint64_t begin_ms;
	struct wave told, over;
};

static _Noreturn void fail(const char *what, const char *why)
{
	fprintf(stderr, "load: %s: %s\n", what, why);
	exit(1);
}

// --- identities

static FILE *ca_file(const char *directory, const char *name)
{
	char path[TEXT_MAX];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *file = fopen(path, "re");
	if (!file)
		fail(path, strerror(errno));
	return file;
}

static X509 *read_certificate(const char *directory, const char *name)
{
	FILE *file = ca_file(directory, name);
	X509 *certificate = X509_new_ex(tls_library(), NULL);
	if (!certificate || !PEM_read_X509(file, &certificate, NULL, NULL))
		fail(name, "no certificate");
	fclose(file);
	return certificate;
}

static void read_ca(struct load *load, const char *directory, const char *domain)
{
	load->root.certificate = read_certificate(directory, "root.crt");
	load->issuing.certificate = read_certificate(directory, "issuing.crt");
	FILE *file = ca_file(directory, "issuing.key");
	load->issuing.key = PEM_read_PrivateKey_ex(file, NULL, NULL, NULL, tls_library(), NULL);
	fclose(file);
	if (!load->issuing.key)
		fail("issuing.key", "no key");
	load->issuing.issuer = &load->root;
	load->trust = fixture_trust(domain, &load->root);
}

static struct tls_context *make_context(const struct load *load, const char *domain,
					unsigned number)
{
	char identity[TEXT_MAX];
	struct tls_context *context;
	struct error error;
	snprintf(identity, sizeof(identity), "spiffe://%s/load/%u", domain, number);
	_cleanup_(fixture_freep) struct fixture *leaf = fixture_leaf(&load->issuing, identity);
	_cleanup_(credential_putp) struct credential *credential = fixture_credential(leaf);
	if (tls_context_new(TLS_CLIENT, credential, load->trust, &context, &error) < 0)
		fail(identity, error.what);
	return context;
}

static void make_peers(struct load *load, const char *domain)
{
	load->peers = calloc(load->count, sizeof(*load->peers));
	if (!load->peers)
		fail("identities", "out of memory");
	for (unsigned i = 0; i < load->count; i++)
		load->peers[i] = (struct peer){
			.load = load,
			.context = make_context(load, domain, i),
		};
}

// --- turns: every session has one in a keepalive period, evenly spread

static uint64_t clock_us(void)
{
	return clock_ns() / 1000;
}

static unsigned number_of(const struct peer *peer)
{
	return (unsigned)(peer - peer->load->peers);
}

static void check_data_path(const struct load *load, unsigned number)
{
	uint64_t silent_ms = clock_ms() - load_path_heard_ms(load->paths, number);
	char text[TEXT_MAX];
	if (load_path_answered(load->paths, number) ||
	    silent_ms < SILENT_PERIODS * load->keepalive_ms)
		return;
	snprintf(text, sizeof(text), "session %u has had no answer to its probes for %llu ms",
		 number, (unsigned long long)silent_ms);
	fail("data path", text);
}

static struct peer *peer_at(const struct load *load, uint64_t turn)
{
	struct peer *peer = &load->peers[turn % load->count];
	return peer->ready ? peer : NULL;
}

static void take_turn(struct load *load)
{
	uint64_t behind = (uint64_t)load->count * PROBE_AGAIN_MS / load->keepalive_ms; // turns
	struct peer *peer = peer_at(load, load->turn);
	if (peer) {
		check_data_path(load, number_of(peer));
		load_path_probe(load->paths, number_of(peer));
	}
	for (unsigned i = 1; behind > 0 && i <= PROBES_AGAIN && load->turn >= i * behind; i++) {
		peer = peer_at(load, load->turn - i * behind);
		if (peer && !load_path_answered(load->paths, number_of(peer)))
			load_path_probe(load->paths, number_of(peer));
	}
	load->turn++;
}

// Of those that had their turn since.
static void send_pings(struct load *load)
{
	struct message ping = {.type = MESSAGE_PING};
	for (; load->pinged < load->turn; load->pinged++) {
		struct peer *peer = peer_at(load, load->pinged);
		ping.ping.token = load->pinged;
		if (peer && (load->pinged + load->pinged / load->count) % PING_PERIODS == 0)
			connection_send(peer->connection, &ping);
	}
}

static void take_turns(struct load *load)
{
	uint64_t now_us = clock_us();
	if (load->keepalive_ms == 0)
		load->turn_us = now_us;
	while (load->turn_us < now_us) {
		take_turn(load);
		load->turn_us += load->keepalive_ms * 1000 / load->count;
	}
	load_path_run(load->paths);
	if (now_us < load->ping_us)
		return;
	send_pings(load);
	load->ping_us = now_us + PINGS_US;
}

// --- sessions

static void say_hello(struct peer *peer)
{
	struct message message = {.type = MESSAGE_HELLO};
	message.hello = (struct message_hello){
		.protocol = MESSAGE_PROTOCOL,
		.software = "mutun " MUTUN_VERSION,
		.host = "load",
		.ciphers = {CIPHER_AES_256_GCM, CIPHER_CHACHA20_POLY1305},
		.cipher_count = 2,
		.lanes = 1,
		.mtu = 1420,
		.denials.said = true,
	};
	message.hello.index = load_path_index(number_of(peer));
	connection_send(peer->connection, &message);
}

static void on_ready(struct peer *peer, const struct message_ready *ready)
{
	struct load *load = peer->load;
	int r = load_path_open(load->paths, number_of(peer), connection_channel(peer->connection),
			       ready);
	if (r < 0)
		fail("cannot derive keys", strerror(-r));
	peer->ready = true;
	load->keepalive_ms = ready->keepalive_s * 1000ull;
	if (++load->ready == load->count) {
		printf("%u sessions in %llu ms\n", load->count,
		       (unsigned long long)(clock_ms() - load->begin_ms));
		fflush(stdout);
	}
	sd_event_source_set_enabled(load->next, SD_EVENT_ONESHOT);
}

static void note(const struct load *load, struct wave *wave)
{
	if (wave->count++ == 0)
		wave->begin_ms = clock_ms();
	if (wave->count != load->count)
		return;
	printf("%u %s in %llu ms\n", load->count, wave->name,
	       (unsigned long long)(clock_ms() - wave->begin_ms));
	fflush(stdout);
	wave->count = 0;
}

static void on_message(struct peer *peer, const struct message *message)
{
	struct message pong = {.type = MESSAGE_PONG, .ping = message->ping};
	switch (message->type) {
	case MESSAGE_READY:
		on_ready(peer, &message->ready);
		return;
	case MESSAGE_PING:
		connection_send(peer->connection, &pong);
		return;
	case MESSAGE_DENY:
		note(peer->load, &peer->load->told);
		return;
	case MESSAGE_BYE:
		peer->revoked = message->bye.code == BYE_REVOKED;
		if (peer->revoked) {
			note(peer->load, &peer->load->over);
			return;
		}
		fail(bye_name(message->bye.code), message->bye.text);
	case MESSAGE_HELLO:
	case MESSAGE_CONFIG:
	case MESSAGE_REAUTH:
	case MESSAGE_REFUSAL:
	case MESSAGE_QUESTION:
	case MESSAGE_ANSWER:
	case MESSAGE_PONG:
		return;
	}
}

static void on_channel(struct connection *connection, const struct channel_event *event, void *data)
{
	struct peer *peer = data;
	switch (event->type) {
	case CHANNEL_NONE:
	case CHANNEL_PACKET:
	case CHANNEL_BYTES:
	case CHANNEL_ROOM:
		return;
	case CHANNEL_OPEN:
		say_hello(peer);
		return;
	case CHANNEL_MESSAGE:
		on_message(peer, &event->message);
		return;
	case CHANNEL_CLOSED:
		if (peer->revoked) {
			peer->ready = false;
			load_path_close(peer->load->paths, number_of(peer));
			peer->connection = connection_free(connection);
			return;
		}
		fail("channel", "the gateway closed it");
	case CHANNEL_FAILED:
		fail("channel", connection_error(connection)->what);
	}
}

static int on_next(sd_event_source *source, void *data)
{
	struct load *load = data;
	(void)source;
	while (load->dialled < load->count && load->dialled - load->ready < AT_ONCE) {
		struct peer *peer = &load->peers[load->dialled++];
		int r = connection_dial(load->event, &load->gateway, 0, peer->context, NULL,
					on_channel, peer, &peer->connection);
		if (r < 0)
			fail("cannot dial", strerror(-r));
		peer->context = tls_context_put(peer->context);
	}
	return 0;
}

// Once all are there it sleeps between ticks, and what comes meanwhile waits: it costs little, and the gateway does not pay for waking what in life
// is another machine.
static int listen_until(struct load *load, uint64_t until_us)
{
	bool resting = load->ready == load->count;
	uint64_t now_us = clock_us();
	int r;
	if (resting && now_us < until_us)
		usleep((useconds_t)(until_us - now_us));
	do {
		now_us = clock_us();
		r = sd_event_run(load->event, now_us < until_us ? until_us - now_us : 0);
	} while (resting ? r > 0 : r >= 0 && now_us < until_us);
	return r;
}

static int run(struct load *load)
{
	int r;
	do {
		uint64_t until_us = clock_us() + TICK_US;
		take_turns(load);
		r = listen_until(load, until_us);
	} while (r >= 0);
	return r;
}

int main(int argc, char **argv)
{
	struct load load = {0};
	struct rlimit files;
	char *end = NULL;
	unsigned long count = argc == 5 ? strtoul(argv[3], &end, 10) : 0;
	if (count == 0 || count > COUNT_MAX || *end || endpoint_parse(argv[4], &load.gateway) < 0) {
		fprintf(stderr, "usage: load CA-DIRECTORY DOMAIN COUNT ADDRESS:PORT\n");
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	load.count = (unsigned)count;
	read_ca(&load, argv[1], argv[2]);
	make_peers(&load, argv[2]);
	int r = sd_event_new(&load.event);
	if (r >= 0)
		r = load_path_new(&load.gateway, load.count, &load.paths);
	if (r >= 0)
		r = sd_event_add_defer(load.event, &load.next, on_next, &load);
	if (r < 0)
		fail("cannot make an event loop", strerror(-r));
	load.told.name = "told";
	load.over.name = "revoked";
	load.begin_ms = clock_ms();
	return run(&load) < 0;
}
