// SPDX-License-Identifier: Apache-2.0
// What a client says over HTTP, through the whole service: the first byte says who it is ('k': a node that has a certificate),
// the rest is sent. Strangers, of whom none has a token, get nothing signed; everybody is answered, or cut off, in time.

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "pki/ca.h"
#include "pki/profile.h"
#include "pki/record.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "pki/verify.h"
#include "server/est_server.h"
#include "unit/pki_fixture.h"

#define INPUT_MAX   131072u // as server/enrol.c
#define PATIENCE_MS 20000
#define QUIET_MS    200 // after the whole input: no more is to come

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// A service and its CA. Strangers have one of their own: what is still being signed for a node is not taken for theirs.
struct place {
	char *path;
	struct ca *ca;
	struct est_server *server;
};

static char *directory;
static struct place nodes, strangers;
static struct verdict *verdict;

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void open_place(struct place *place, const char *name)
{
	place->path = fixture_path(directory, name);
	must(ca_init(place->path, "corp.example", NULL) == 0);
	must(ca_open(place->path, &place->ca, NULL) == 0);
	must(est_server_new(place->path, NULL, &place->server, NULL) == 0);
}

static void close_place(struct place *place)
{
	est_server_free(place->server);
	ca_close(place->ca);
	fixture_directory_free(place->path);
}

static void tear_down(void)
{
	verdict_put(verdict);
	close_place(&nodes);
	close_place(&strangers);
	fixture_directory_free(directory);
}

static void judge_node(void)
{
	char *bundle = fixture_path(nodes.path, "trust.crt");
	struct trust_source source = {.domain = "corp.example", .path = bundle};
	struct trust *trust = NULL;
	EVP_PKEY *key = NULL;
	X509 *leaf = NULL;

	must(profile_key(&key, NULL) == 0);
	struct ca_leaf subject = {.identity = "spiffe://corp.example/laptop/alice",
				  .lifetime_s = 86400,
				  .not_before_s = -300,
				  .key = key,
				  .issued_by = "operator"};
	must(ca_sign(nodes.ca, &subject, &leaf, NULL) == 0);
	must(trust_load(tls_library(), &source, 1, clock_wall(), &trust, NULL) == 0);
	must(verify_chain(trust, leaf, ca_chain(nodes.ca), VERIFY_PEER_IS_CLIENT, clock_wall(),
			  &verdict, NULL, NULL) == 0);
	trust_put(trust);
	X509_free(leaf);
	EVP_PKEY_free(key);
	free(bundle);
}

static void set_up(void)
{
	directory = fixture_directory();
	open_place(&nodes, "nodes");
	open_place(&strangers, "strangers");
	judge_node();
	atexit(tear_down);
}

static int count_one(const struct record *record, void *data)
{
	(void)record;
	++*(unsigned *)data;
	return 0;
}

static unsigned issued(const struct place *place)
{
	unsigned count = 0;

	must(record_walk(ca_journal(place->ca), &(struct record_filter){0}, count_one, &count,
			 NULL) == 0);
	return count;
}

// Sends and takes what comes, until the service has closed or is quiet.
static void talk(int fd, const uint8_t *data, size_t size)
{
	char waste[65536];
	size_t sent = 0;

	for (;;) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		if (sent < size)
			ready.events |= POLLOUT;
		int n = poll(&ready, 1, sent < size ? PATIENCE_MS : QUIET_MS);
		must(n == 1 || sent == size);
		if (n == 0)
			return;
		if (ready.revents & POLLIN) {
			if (recv(fd, waste, sizeof(waste), MSG_DONTWAIT) <= 0)
				return;
		} else if (ready.revents & POLLOUT) {
			ssize_t took =
				send(fd, data + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
			if (took < 0)
				return;
			sent += (size_t)took;
		} else {
			return;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int pair[2];

	if (!directory)
		set_up();
	if (size < 2 || size > INPUT_MAX)
		return 0;
	bool known = data[0] == 'k';
	struct est_caller caller = {.verdict = known ? verdict : NULL, .admitted = known};
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	must(est_server_add(known ? nodes.server : strangers.server, pair[1], &caller) == 0);
	talk(pair[0], data + 1, size - 1);
	close(pair[0]);
	must(issued(&strangers) == 0);
	return 0;
}
