// SPDX-License-Identifier: Apache-2.0
// The way of a data packet, from the bytes of a datagram to the TUN queue: header, session, epoch, lane, window, AEAD, path,
// link message or inner packet, and its judgement by rules. The input is a row of records:
//   control  bit 0: the bytes are a datagram as they are; else they are a plaintext, sealed with the right keys
//            bits 1-2: lane (three are agreed on), bit 3: epoch, bit 4: source port, bit 5: flip a bit, bit 6: flags, bit 7: congestion was met
//   counter  signed, added to the counter of the record before
//   length   of the bytes that follow, big-endian, 16 bits

#include <endian.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "tun/egress.h"
#include "tun/filter.h"
#include "tun/guard.h"
#include "tun/host.h"
#include "tun/ingress.h"
#include "tun/note.h"
#include "tun/rule.h"
#include "tun/session.h"
#include "tun/worker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MTU	     1400u
#define LANES	     3u
#define EPOCHS	     2u
#define OVER_MS	     (UINT64_C(6) * 86400 * 1000) // no flow lives so long
#define SWEEP_EVERY  1024u			  // inputs
#define DATAGRAM_MAX (MTU + PACKET_OVERHEAD + 8)

struct bench {
	struct dataplane *dataplane;
	struct session *session;
	struct worker *worker;
	struct seal *seals[EPOCHS][LANES + 1]; // of the peer
};

static void check(bool condition)
{
	if (!condition)
		abort();
}

// The TUN queue: packets vanish. In place of tun/host.c, which needs privileges.
int host_queue(const struct host *host, unsigned queue)
{
	(void)host;
	(void)queue;
	return -1;
}

static struct worker *worker_without_thread(struct dataplane *dataplane)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	check(worker);
	worker->dataplane = dataplane;
	worker->now_ms = clock_ms();
	worker->mtu = MTU;
	worker->tun = open("/dev/null", O_WRONLY | O_CLOEXEC);
	check(worker->tun >= 0);
	for (unsigned i = 0; i < DATAPLANE_SLOTS; i++)
		atomic_init(&worker->sockets[i], -1);
	check(datagram_out_init(&worker->out) == 0);
	check(join_init(&worker->join, worker->tun) == 0);
	return worker;
}

static struct epoch_options options_of(unsigned number)
{
	struct epoch_options options = {
		.number = number,
		.cipher = number % 2 ? CIPHER_AES_256_GCM : CIPHER_CHACHA20_POLY1305,
		.remote_index = 1,
		.peer_lanes = LANES,
	};
	memset(options.secret, (int)number, sizeof(options.secret));
	return options;
}

static void make_seals(struct bench *bench)
{
	for (unsigned e = 0; e < EPOCHS; e++) {
		struct epoch_options options = options_of(e + 1);
		for (uint8_t lane = 0; lane <= LANES; lane++) {
			uint8_t key[SEAL_KEY_SIZE], iv[SEAL_IV_SIZE];
			check(seal_derive(options.secret, true, lane, key, iv) == 0);
			bench->seals[e][lane] = seal_new(options.cipher, key, iv, true);
			check(bench->seals[e][lane]);
		}
	}
}

static void add_route(struct bench *bench, const char *text)
{
	struct prefix prefix;
	check(prefix_parse(text, &prefix) == 0);
	check(routes_add(dataplane_routes(bench->dataplane), &prefix, 1, bench->session) == 0);
}

// UDP and pings may come in: some flows are made, some packets are refused.
static void set_rules(struct bench *bench)
{
	static const struct rule_service services[] = {
		{.protocols = {IPPROTO_UDP}, .last = 65535},
		{.protocols = {IPPROTO_ICMP}, .first = 8 << 8, .last = 8 << 8 | 255},
	};
	static const struct rule rule = {
		.place = "fuzz",
		.from.any = true,
		.to.any = true,
		.services = services,
		.service_count = 2,
		.log = true,
	};
	static const struct rules rules = {.rules = &rule, .rule_count = 1, .reject = true};
	struct filter *filter;
	check(filter_new(&rules, NULL, &filter) == 0);
	check(dataplane_set_filter(bench->dataplane, filter) == 0);
	bench->worker->notes = notes_new(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
	check(bench->worker->notes);
}

static struct bench *bench_new(void)
{
	static struct bench bench;
	struct dataplane_options options = {.workers = 0, .mtu = MTU};
	check(dataplane_new(&options, &bench.dataplane, NULL) == 0);
	check(session_new(bench.dataplane, false, "spiffe://a/b", NULL, 25, &bench.session) == 0);
	atomic_store(&bench.session->mtu, MTU);
	bench.worker = worker_without_thread(bench.dataplane);
	add_route(&bench, "10.0.0.0/8");
	add_route(&bench, "fd00::/8");
	make_seals(&bench);
	set_rules(&bench);
	return &bench;
}

static void forget_flows(struct bench *bench)
{
	static unsigned inputs;
	struct flow_sweep all = {.now_s = (uint32_t)(bench->worker->now_ms / 1000)};
	bench->worker->now_ms += OVER_MS;
	if (++inputs % SWEEP_EVERY == 0)
		flows_sweep(dataplane_guard(bench->dataplane)->flows, &all);
}

// New epochs for every input, and so much later that no flow is left: what it finds does not depend on the inputs before.
static void reset(struct bench *bench)
{
	struct session *session = bench->session;
	forget_flows(bench);
	for (unsigned i = 0; i < PACKET_LANES_MAX; i++)
		free(atomic_exchange(&session->paths[i], NULL));
	for (unsigned e = 1; e <= EPOCHS; e++) {
		struct epoch_options options = options_of(e);
		epoch_free(atomic_exchange(&session->epochs[e], epoch_new(&options)));
		check(atomic_load(&session->epochs[e]));
	}
	atomic_store(&session->tx, atomic_load(&session->epochs[1]));
	bench->worker->out.count = 0;
	bench->worker->out.used = 0;
	ingress_flush(bench->worker);
	dataplane_collect(bench->dataplane);
}

static uint64_t opened(const struct session *session)
{
	uint64_t count = 0;
	for (unsigned e = 1; e <= EPOCHS; e++) {
		struct epoch_mark mark;
		epoch_mark(atomic_load(&session->epochs[e]), &mark);
		for (unsigned i = 0; i < PACKET_LANES_MAX; i++)
			count += mark.opened[i];
	}
	return count;
}

static uint64_t delivered(const struct session *session)
{
	struct epoch_totals totals = {0};
	for (unsigned e = 1; e <= EPOCHS; e++)
		epoch_add_totals(atomic_load(&session->epochs[e]), &totals);
	return totals.rx_packets;
}

static size_t seal_record(struct bench *bench, uint8_t control, uint64_t counter,
			  const uint8_t *plain, size_t size, uint8_t *datagram)
{
	unsigned epoch = control >> 3 & 1;
	uint8_t lane = control >> 1 & 3;
	struct packet_header header = {
		.type = PACKET_DATA,
		.epoch = (uint8_t)(epoch + 1),
		.lane = lane,
		.flags = control >> 6 & 1,
	};
	uint32_t index = htobe32(bench->session->index);
	uint64_t number = htobe64(counter);
	memcpy(header.index, &index, sizeof(index));
	memcpy(header.counter, &number, sizeof(number));
	memcpy(datagram, &header, sizeof(header));
	check(seal_packet(bench->seals[epoch][lane], &header, counter, plain, size,
			  datagram + sizeof(header)));
	return size + PACKET_OVERHEAD;
}

static void run_record(struct bench *bench, uint8_t control, uint64_t counter, const uint8_t *bytes,
		       size_t size)
{
	static const struct addr loopback = {.family = AF_INET, .bytes = {127, 0, 0, 1}};
	uint8_t datagram[DATAGRAM_MAX];
	struct session *session = bench->session;
	struct datagram_peer peer = {.remote = {.addr = loopback}, .local = loopback, .slot = 2};
	uint64_t opened_before = opened(session);
	uint64_t delivered_before = delivered(session);
	bool raw = control & 1;
	peer.remote.port = control >> 4 & 1 ? 7000 : 7001;
	if (raw)
		memcpy(datagram, bytes, size);
	else
		size = seal_record(bench, control, counter, bytes, size, datagram);
	bool damaged = control >> 5 & 1 && size;
	if (damaged)
		datagram[counter % size] ^= (uint8_t)(1u << (counter & 7));
	struct ingress_input input = {
		.data = datagram,
		.size = size,
		.peer = &peer,
		.ecn = control >> 7 & 1 ? 3 : 0,
	};
	ingress_datagram(bench->worker, &input);

	uint64_t opens = opened(session) - opened_before;
	check(opens <= (raw || damaged || counter == 0 ? 0u : 1u));
	check(delivered(session) - delivered_before <= opens);
	// The same bytes once more are a replay.
	ingress_datagram(bench->worker, &input);
	check(opened(session) == opened_before + opens);
	egress_flush(bench->worker);
	if (counter % 4 == 0)
		ingress_flush(bench->worker);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bench *bench;
	struct reader reader = reader_over(data, size);
	uint64_t counter = 0;
	if (!bench)
		bench = bench_new();
	reset(bench);
	while (reader.left) {
		uint8_t control = reader_u8(&reader);
		counter += (uint64_t)(int8_t)reader_u8(&reader);
		size_t length = reader_u16(&reader);
		size_t room = control & 1 ? DATAGRAM_MAX : DATAGRAM_MAX - PACKET_OVERHEAD;
		const uint8_t *bytes = reader_bytes(&reader, length);
		if (!bytes || length > room)
			break;
		run_record(bench, control, counter, bytes, length);
	}
	return 0;
}
