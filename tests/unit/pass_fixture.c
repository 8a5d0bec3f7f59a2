// SPDX-License-Identifier: Apache-2.0

#include "unit/pass_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "tun/egress.h"
#include "tun/ingress.h"
#include "tun/note.h"
#include "tun/path.h"
#include "tun/session.h"
#include "tun/transport.h"
#include "tun/worker.h"

#define RULES_MAX 16u
#define LINE_SIZE 128u

static const char *const names[] = {"alice", "bob", "carol", "link"};
#define NAMES (sizeof(names) / sizeof(names[0]))

static struct session *make_session(struct pass_world *world, const char *name, const char *prefix)
{
	struct session *session;
	struct prefix route;
	char identity[80];
	snprintf(identity, sizeof(identity), "spiffe://corp.example/laptop/%s", name);
	assert_int_equal(session_new(world->dataplane, strcmp(name, "link") == 0, identity, NULL,
				     25, &session),
			 0);
	assert_int_equal(prefix_parse(prefix, &route), 0);
	assert_int_equal(routes_add(dataplane_routes(world->dataplane), &route, 1, session), 0);
	return session;
}

// No thread runs it, and it has no sockets.
static void make_worker(struct pass_world *world)
{
	struct worker *worker = world->worker;
	int pair[2];
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	worker->tun = pair[0];
	world->tun = pair[1];
	worker->mtu = 1400;
	for (unsigned i = 0; i < DATAPLANE_SLOTS; i++)
		atomic_init(&worker->sockets[i], -1);
	assert_int_equal(datagram_out_init(&worker->out), 0);
	worker->out.segmentation = true;
	assert_int_equal(join_init(&worker->join, worker->tun), 0);
}

struct pass_world *pass_world_new(void)
{
	struct dataplane_options options = {.workers = 0, .mtu = 1400};
	struct pass_world *world = calloc(1, sizeof(*world));
	assert_non_null(world);
	assert_int_equal(dataplane_new(&options, &world->dataplane, NULL), 0);
	world->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	world->worker = calloc(1, sizeof(*world->worker));
	assert_non_null(world->worker);
	world->worker->dataplane = world->dataplane;
	world->worker->notes = notes_new(world->wake);
	world->worker->now_ms = clock_ms();
	make_worker(world);
	world->alice = make_session(world, "alice", PASS_ALICE "/32");
	world->bob = make_session(world, "bob", PASS_BOB "/32");
	world->carol = make_session(world, "carol", PASS_CAROL "/32");
	world->link = make_session(world, "link", "10.50.0.0/16");
	return world;
}

struct pass_world *pass_world_free(struct pass_world *world)
{
	session_free(world->alice);
	session_free(world->bob);
	session_free(world->carol);
	session_free(world->link);
	dataplane_free(world->dataplane);
	notes_free(world->worker->notes);
	datagram_out_done(&world->worker->out);
	join_done(&world->worker->join);
	close(world->worker->tun);
	close(world->tun);
	free(world->worker);
	close(world->wake);
	free(world);
	return NULL;
}

// --- rules

// What the filter borrows. One policy at a time.
static struct {
	struct rule_peer peers[NAMES];
	struct rule_group groups[NAMES];
	struct prefix prefix;
	struct rule_net net;
	struct rule rules[RULES_MAX], inbound[RULES_MAX];
	struct rule_service services[2 * RULES_MAX];
	unsigned sides[NAMES + 1];
	unsigned service_count;
	struct rules all;
} text;

static char identities[NAMES][80];

static struct rule_side side_of(const char *word)
{
	if (strcmp(word, "any") == 0)
		return (struct rule_side){.any = true};
	if (strcmp(word, "net") == 0)
		return (struct rule_side){.nets = &text.sides[0], .net_count = 1};
	for (unsigned i = 0; i < NAMES; i++)
		if (strcmp(word, names[i]) == 0)
			return (struct rule_side){.groups = &text.sides[i], .group_count = 1};
	fail_msg("%s: nobody", word);
	return (struct rule_side){0};
}

static struct rule_service service_of(const char *word)
{
	unsigned port;
	struct rule_service service = {.protocols = {IPPROTO_TCP}};
	if (strcmp(word, "any") == 0)
		return (struct rule_service){.any_protocol = true, .last = 65535};
	if (strcmp(word, "icmp") == 0)
		return (struct rule_service){.protocols = {IPPROTO_ICMP, IPPROTO_ICMPV6},
					     .last = 65535};
	if (strcmp(word, "ping") == 0)
		return (struct rule_service){
			.protocols = {IPPROTO_ICMP}, .first = 8 << 8, .last = 8 << 8 | 255};
	if (sscanf(word, "udp/%u", &port) == 1)
		service.protocols[0] = IPPROTO_UDP;
	else
		assert_int_equal(sscanf(word, "tcp/%u", &port), 1);
	service.first = service.last = (uint16_t)port;
	return service;
}

static void add_rule(const char *line)
{
	char copy[LINE_SIZE];
	char *rest = copy, *words[4], *more;
	struct rule rule = {.place = "test", .service_count = 1};
	snprintf(copy, sizeof(copy), "%s", line);
	bool inbound = strncmp(copy, "inbound ", 8) == 0;
	if (inbound)
		rest += 8;
	for (unsigned i = 0; i < 4; i++)
		assert_non_null(words[i] = strsep(&rest, " "));
	while ((more = strsep(&rest, " "))) {
		rule.reject |= strcmp(more, "reject") == 0;
		rule.log |= strcmp(more, "log") == 0;
	}
	rule.deny = strcmp(words[0], "deny") == 0;
	rule.from = side_of(words[1]);
	rule.to = side_of(words[2]);
	rule.services = &text.services[text.service_count];
	text.services[text.service_count++] = service_of(words[3]);
	if (inbound)
		text.inbound[text.all.inbound_count++] = rule;
	else
		text.rules[text.all.rule_count++] = rule;
}

struct filter *pass_filter(const char *const *lines)
{
	struct filter *filter;
	memset(&text, 0, sizeof(text));
	for (unsigned i = 0; i < NAMES; i++) {
		snprintf(identities[i], sizeof(identities[i]), "spiffe://corp.example/laptop/%s",
			 names[i]);
		text.peers[i].identity = identities[i];
		text.groups[i] = (struct rule_group){.peers = &text.peers[i], .peer_count = 1};
		text.sides[i] = i;
	}
	assert_int_equal(prefix_parse("10.20.0.0/16", &text.prefix), 0);
	text.net = (struct rule_net){.prefixes = &text.prefix, .prefix_count = 1};
	text.all = (struct rules){.groups = text.groups,
				  .group_count = NAMES,
				  .nets = &text.net,
				  .net_count = 1,
				  .rules = text.rules,
				  .inbound = text.inbound,
				  .reject = true};
	for (; *lines; lines++)
		add_rule(*lines);
	assert_int_equal(filter_new(&text.all, NULL, &filter), 0);
	return filter;
}

void pass_rules(struct pass_world *world, const char *const *lines)
{
	pass_flush(world->worker);
	assert_int_equal(dataplane_set_filter(world->dataplane, pass_filter(lines)), 0);
}

// --- packets

static void put_ip(uint8_t *packet, const char *from, const char *to, uint8_t protocol, size_t size)
{
	struct addr addr;
	memset(packet, 0, 20);
	packet[0] = 0x45;
	put16(packet + 2, size);
	packet[8] = 64;
	packet[9] = protocol;
	assert_int_equal(addr_parse(from, &addr), 0);
	memcpy(packet + 12, addr.bytes, 4);
	assert_int_equal(addr_parse(to, &addr), 0);
	memcpy(packet + 16, addr.bytes, 4);
	put16(packet + 10, (uint16_t)~checksum_add(0, packet, 20));
}

size_t pass_packet(uint8_t *packet, const char *from, const char *to, uint8_t protocol,
		   uint16_t from_port, uint16_t to_port, uint8_t flags)
{
	size_t header = protocol == IPPROTO_TCP ? 20 : 8;
	memset(packet, 0, 48);
	put_ip(packet, from, to, protocol, 20 + header);
	put16(packet + 20, from_port);
	if (protocol == IPPROTO_ICMP)
		put16(packet + 24, to_port);
	else
		put16(packet + 22, to_port);
	if (protocol == IPPROTO_UDP)
		put16(packet + 24, 8);
	if (protocol == IPPROTO_TCP) {
		packet[32] = 0x50;
		packet[33] = flags;
	}
	return 20 + header;
}

size_t pass_error(uint8_t *error, const char *from, const uint8_t *packet, size_t size)
{
	char to[ADDR_TEXT_MAX];
	struct addr addr = {.family = AF_INET};
	memcpy(addr.bytes, packet + 12, 4);
	put_ip(error, from, addr_text(&addr, to), IPPROTO_ICMP, 28 + size);
	memset(error + 20, 0, 8);
	error[20] = error[21] = 3;
	memcpy(error + 28, packet, size);
	return 28 + size;
}

enum drop pass_packet_judge(struct pass_world *world, const uint8_t *packet, size_t size,
			    struct pass *ret)
{
	const struct routes *routes = dataplane_routes(world->dataplane);
	struct inner inner;
	struct pass pass = {.inner = &inner, .packet = packet, .size = size, .packets = 1};
	enum drop drop = inner_parse(packet, size, &inner);
	if (drop != DROP_NONE)
		return drop;
	pass.from = route_lookup(routes, &inner.source);
	pass.to = route_lookup(routes, &inner.destination);
	drop = pass_judge(world->worker, &pass);
	if (ret)
		*ret = pass;
	return drop;
}

enum drop pass_try(struct pass_world *world, const char *from, const char *to, uint8_t protocol,
		   uint16_t from_port, uint16_t to_port, uint8_t flags)
{
	uint8_t packet[PASS_MAX];
	size_t size = pass_packet(packet, from, to, protocol, from_port, to_port, flags);
	return pass_packet_judge(world, packet, size, NULL);
}

// --- packets that travel

#define MTU 1400u

static struct epoch_options options_of(const struct session *session)
{
	struct epoch_options options = {
		.number = 1,
		.cipher = CIPHER_AES_256_GCM,
		.initiator = session->initiator,
		.remote_index = ~session->index,
		.peer_lanes = 1,
	};
	memcpy(options.secret, &session->index, sizeof(session->index));
	return options;
}

static struct datagram_peer peer_of(const struct session *session)
{
	struct datagram_peer peer = {.slot = 2};
	peer.remote.addr = (struct addr){.family = AF_INET, .bytes = {127, 0, 0, 1}};
	peer.remote.port = (uint16_t)session->subject->number;
	return peer;
}

void pass_connect(struct session *session)
{
	struct epoch_options options = options_of(session);
	struct epoch *epoch = epoch_new(&options);
	struct datagram_peer peer = peer_of(session);
	struct path *path = path_new(&peer, true);
	assert_true(epoch && path);
	atomic_store(&session->epochs[1], epoch);
	atomic_store(&session->tx, epoch);
	atomic_store(&session->mtu, MTU);
	path_replace(session, 0, path);
}

static struct seal *seal_of(const struct session *session, bool out)
{
	struct epoch_options options = options_of(session);
	uint8_t key[SEAL_KEY_SIZE], iv[SEAL_IV_SIZE];
	assert_int_equal(seal_derive(options.secret, session->initiator != out, 0, key, iv), 0);
	struct seal *seal = seal_new(options.cipher, key, iv, out);
	assert_non_null(seal);
	return seal;
}

void pass_arrive(struct pass_world *world, struct session *session, const uint8_t *packet,
		 size_t size, uint8_t flags, uint8_t ecn)
{
	static uint64_t counter;
	_cleanup_(seal_freep) struct seal *seal = seal_of(session, true);
	struct packet_header header = {.type = PACKET_DATA, .epoch = 1, .flags = flags};
	struct datagram_peer peer = peer_of(session);
	uint8_t datagram[PASS_MAX + PACKET_OVERHEAD];
	uint32_t index = htobe32(session->index);
	uint64_t number = htobe64(++counter);
	memcpy(header.index, &index, sizeof(index));
	memcpy(header.counter, &number, sizeof(number));
	memcpy(datagram, &header, sizeof(header));
	assert_true(seal_packet(seal, &header, counter, packet, size, datagram + sizeof(header)));
	struct ingress_input input = {
		.data = datagram, .size = size + PACKET_OVERHEAD, .peer = &peer, .ecn = ecn};
	ingress_datagram(world->worker, &input);
}

static size_t open_datagram(const struct session *session, const uint8_t *datagram, size_t size,
			    uint8_t *packet, uint8_t *ret_flags)
{
	struct packet_header header;
	uint64_t counter;
	memcpy(&header, datagram, sizeof(header));
	memcpy(&counter, header.counter, sizeof(counter));
	_cleanup_(seal_freep) struct seal *seal = seal_of(session, false);
	assert_true(size - PACKET_OVERHEAD <= PASS_MAX);
	assert_true(seal_open(seal, &header, be64toh(counter), datagram + sizeof(header),
			      size - sizeof(header), packet));
	*ret_flags = header.flags;
	return size - PACKET_OVERHEAD;
}

size_t pass_sent(struct pass_world *world, const struct session *session, unsigned position,
		 uint8_t packet[PASS_MAX], uint8_t *ret_flags)
{
	const struct datagram_out *out = &world->worker->out;
	for (unsigned i = 0; i < out->count; i++) {
		const struct datagram_run *run = &out->runs[i];
		if (run->peer.remote.port != session->subject->number)
			continue;
		if (position >= run->count) {
			position -= run->count;
			continue;
		}
		size_t at = position * run->segment;
		size_t size = run->size - at < run->segment ? run->size - at : run->segment;
		return open_datagram(session, out->data + run->offset + at, size, packet,
				     ret_flags);
	}
	return 0;
}

void pass_forget(struct pass_world *world)
{
	egress_flush(world->worker);
}

size_t pass_read_tun(struct pass_world *world, uint8_t *frame, size_t size)
{
	ssize_t n = read(world->tun, frame, size);
	return n > 0 ? (size_t)n : 0;
}
