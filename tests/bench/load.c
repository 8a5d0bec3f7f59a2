// SPDX-License-Identifier: Apache-2.0
// Many sessions on one gateway, for the benchmark. Each has an identity of its own, certified here and now by the gateway's
// CA; it says HELLO, gets READY with its lease, and then pings on its channel as a node does that has nothing to send. There
// are no data planes: to the gateway these are peers at rest.
//
//   load CA-DIRECTORY DOMAIN COUNT ADDRESS:PORT
//
// The identities are spiffe://DOMAIN/load/0 and so on. It prints "COUNT sessions in N ms" once all are READY, and keeps
// them until a signal ends it. It prints "COUNT told in N ms" once all were told of a denial, from the first to the last, and likewise
// "COUNT revoked in N ms" once all were revoked. A session that is refused or lost otherwise ends it at once with exit status 1.

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <openssl/pem.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/error.h"
#include "pki/credential.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "tun/connection.h"
#include "unit/pki_fixture.h"

// The gateway lets a source have eight handshakes at once; a node at the same address needs room as well.
#define AT_ONCE	  6u
#define COUNT_MAX 60000ul
#define TICK_US	  1000000u
#define TEXT_MAX  512u

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
	unsigned keepalive_s;
	unsigned turn; // whose ping comes next
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
	message.hello.index = (uint32_t)(peer - peer->load->peers) + 1;
	connection_send(peer->connection, &message);
}

static void on_ready(struct peer *peer, unsigned keepalive_s)
{
	struct load *load = peer->load;
	peer->ready = true;
	load->keepalive_s = keepalive_s;
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
		on_ready(peer, message->ready.keepalive_s);
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

// Every session once in a keepalive period, evenly spread.
static int on_tick(sd_event_source *source, uint64_t usec, void *data)
{
	struct load *load = data;
	struct message ping = {.type = MESSAGE_PING, .ping.token = usec};
	unsigned due = load->keepalive_s ? load->count / load->keepalive_s + 1 : 0;
	for (unsigned i = 0; i < due; i++) {
		struct peer *peer = &load->peers[load->turn++ % load->count];
		if (peer->ready)
			connection_send(peer->connection, &ping);
	}
	sd_event_source_set_time(source, usec + TICK_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
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
		r = sd_event_add_time_relative(load.event, NULL, CLOCK_MONOTONIC, TICK_US, 0,
					       on_tick, &load);
	if (r >= 0)
		r = sd_event_add_defer(load.event, &load.next, on_next, &load);
	if (r < 0)
		fail("cannot make an event loop", strerror(-r));
	load.told.name = "told";
	load.over.name = "revoked";
	load.begin_ms = clock_ms();
	return sd_event_loop(load.event) < 0;
}
