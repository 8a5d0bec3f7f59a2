// SPDX-License-Identifier: Apache-2.0
// Nanoseconds of the steps of a packet, so that a regression has an address, and of a look into a revocation list: medians of
// rounds on one core. "micro --quick" runs everything for a moment, only to see that it runs.

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/micro.h"
#include "base/clock.h"
#include "base/rcu.h"
#include "pki/crl_table.h"
#include "pki/denials.h"
#include "pki/revocation.h"
#include "tun/cut.h"
#include "tun/epoch.h"
#include "tun/inner.h"
#include "tun/join.h"
#include "tun/route.h"
#include "tun/seal.h"
#include "tun/session.h"
#include "unit/packet_fixture.h"

#define ROUNDS	   9u
#define ROUND_NS   UINT64_C(20000000)
#define QUICK_NS   UINT64_C(100000)
#define SUPER	   65000u // bytes of payload of a super-packet
#define SEGMENT	   1368u
#define ROUTES_MAX 100000u
#define SERIAL	   20u // bytes of a serial number
#define ENTRY	   (4u + SERIAL + 15u)

static uint64_t round_ns = ROUND_NS;
static uint8_t plain[70000], sealed[70000];

// One thing that is measured: `step` does it once.
struct subject {
	void (*step)(struct subject *subject);
	struct seal *seal;
	struct epoch *epoch;
	struct routes *routes;
	struct join *join;
	const struct crl_table *table;
	const struct denials *denials;
	const struct packet_spec *spec;
	uint8_t *frame;
	size_t size;
	uint64_t counter;
	unsigned packets; // per step
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

double micro_measure(void (*step)(void *data), void *data)
{
	double results[ROUNDS];
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t begin = clock_ns(), steps = 0, now;
		do {
			for (unsigned n = 0; n < 16; n++, steps++)
				step(data);
			now = clock_ns();
		} while (now - begin < round_ns);
		results[i] = (double)(now - begin) / (double)steps;
	}
	qsort(results, ROUNDS, sizeof(results[0]), compare);
	return results[ROUNDS / 2];
}

static void subject_step(void *data)
{
	struct subject *subject = data;
	subject->step(subject);
}

static double measure(struct subject *subject)
{
	return micro_measure(subject_step, subject) / subject->packets;
}

static void report(const char *what, struct subject *subject)
{
	printf("%-44s %10.1f ns a packet\n", what, measure(subject));
}

// --- seal and open

static const struct packet_header header = {.type = PACKET_DATA};

static void seal_step(struct subject *subject)
{
	seal_packet(subject->seal, &header, ++subject->counter, plain, subject->size, sealed);
}

static void open_step(struct subject *subject)
{
	if (!seal_open(subject->seal, &header, 1, sealed, subject->size + PACKET_TAG, plain))
		abort();
}

static void measure_seal(enum seal_engine engine, enum cipher cipher, size_t size)
{
	static const uint8_t key[SEAL_KEY_SIZE] = {1}, iv[SEAL_IV_SIZE] = {2};
	_cleanup_(seal_freep) struct seal *out = seal_new_with(engine, cipher, key, iv, true);
	_cleanup_(seal_freep) struct seal *in = seal_new_with(engine, cipher, key, iv, false);
	char what[64];
	if (!out || !in)
		return;
	struct subject subject = {.step = seal_step, .seal = out, .size = size, .packets = 1};
	snprintf(what, sizeof(what), "seal, %s, %s, %zu bytes", cipher_name(cipher),
		 seal_engine_name(engine), size);
	report(what, &subject);
	seal_packet(out, &header, 1, plain, size, sealed);
	subject = (struct subject){.step = open_step, .seal = in, .size = size, .packets = 1};
	snprintf(what, sizeof(what), "open, %s, %s, %zu bytes", cipher_name(cipher),
		 seal_engine_name(engine), size);
	report(what, &subject);
}

static void epoch_step(struct subject *subject)
{
	if (epoch_seal(subject->epoch, 0, 0, true, plain, subject->size, sealed) != DROP_NONE)
		abort();
}

static void measure_epoch(size_t size)
{
	struct epoch_options options = {.number = 1, .peer_lanes = 1, .remote_index = 1};
	struct subject subject = {.step = epoch_step, .size = size, .packets = 1};
	char what[64];
	subject.epoch = epoch_new(&options);
	if (!subject.epoch)
		abort();
	snprintf(what, sizeof(what), "number and seal (epoch_seal), %zu bytes", size);
	report(what, &subject);
	epoch_free(subject.epoch);
}

// --- super-packets

static void cut_step(struct subject *subject)
{
	struct cut cut;
	size_t size;
	packet_vnet(subject->spec, SEGMENT, subject->frame);
	// Cutting writes over payload only; the headers of the whole are its first piece's.
	transport_put_size(subject->frame + VNET_HEADER, 20, subject->size);
	if (cut_begin(&cut, subject->frame, subject->size, 65535) != DROP_NONE)
		abort();
	for (unsigned i = 0; i < cut.count; i++)
		cut_piece(&cut, i, &size);
	subject->packets = cut.count;
}

static void measure_cut(const struct packet_spec *spec)
{
	struct subject subject = {.step = cut_step, .spec = spec, .packets = 1};
	subject.frame = calloc(1, VNET_HEADER + 70000);
	if (!subject.frame)
		abort();
	subject.size = packet_build(spec, plain, SUPER, subject.frame + VNET_HEADER);
	cut_step(&subject);
	report("cut a super-packet of 65,000 bytes", &subject);
	free(subject.frame);
}

static void join_step(struct subject *subject)
{
	struct packet_spec spec = *subject->spec;
	for (unsigned i = 0; i < subject->packets; i++) {
		uint8_t *place = join_place(subject->join);
		memcpy(place, subject->frame, subject->size);
		put32(place + 24, spec.sequence);
		join_take(subject->join, subject->size, true);
		spec.sequence += SEGMENT;
	}
	join_flush(subject->join);
}

static void measure_join(const struct packet_spec *spec)
{
	struct join join;
	struct subject subject = {.step = join_step, .spec = spec, .join = &join, .packets = 45};
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	subject.frame = calloc(1, 2000);
	if (!subject.frame || fd < 0 || join_init(&join, fd) < 0)
		abort();
	subject.size = packet_build(spec, plain, SEGMENT, subject.frame);
	report("join 45 packets of 1,400 bytes (and copy them)", &subject);
	join_done(&join);
	close(fd);
	free(subject.frame);
}

// --- lookup

static void parse_step(struct subject *subject)
{
	struct inner inner;
	if (inner_parse(subject->frame, subject->size, &inner) != DROP_NONE)
		abort();
}

static void lookup_step(struct subject *subject)
{
	struct addr addr = {.family = AF_INET, .bytes = {10}};
	addr.bytes[1] = (uint8_t)(subject->counter >> 8);
	addr.bytes[2] = (uint8_t)subject->counter++;
	addr.bytes[3] = 1;
	if (!route_lookup(subject->routes, &addr))
		abort();
}

static void measure_lookup(unsigned count)
{
	static struct prefix prefixes[ROUTES_MAX];
	static struct session owner;
	struct subject subject = {.step = lookup_step, .packets = 1};
	char what[64];
	prefixes[0] = (struct prefix){.addr = {.family = AF_INET, .bytes = {10}}, .length = 8};
	for (unsigned i = 1; i < count; i++) {
		struct prefix *prefix = &prefixes[i];
		*prefix = (struct prefix){.addr.family = AF_INET, .length = 24};
		prefix->addr.bytes[0] = (uint8_t)(10 + (i >> 16));
		prefix->addr.bytes[1] = (uint8_t)(i >> 8);
		prefix->addr.bytes[2] = (uint8_t)i;
	}
	subject.routes = routes_new();
	if (!subject.routes || routes_add(subject.routes, prefixes, count, &owner) < 0)
		abort();
	snprintf(what, sizeof(what), "route lookup among %u", count);
	report(what, &subject);
	routes_free(subject.routes);
}

// --- revocation lists

// The serial numbers are all over the list, one after the other, and every other one is not in it.
static void serial_of(uint64_t n, uint8_t serial[SERIAL])
{
	uint64_t mixed = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
	memset(serial, 0x41, SERIAL);
	memcpy(serial + 4, &mixed, sizeof(mixed));
	memcpy(serial + 12, &mixed, sizeof(mixed));
}

static void find_step(struct subject *subject)
{
	uint8_t serial[SERIAL];
	struct crl_entry entry;
	uint64_t n = (++subject->counter * UINT64_C(0x2545f4914f6cdd1d)) % (2 * subject->size);
	serial_of(n, serial);
	if (crl_table_find(subject->table, serial, SERIAL, false, &entry) != (n < subject->size))
		abort();
}

static void measure_list(size_t count)
{
	static const uint8_t time[] = "\x17\x0d"
				      "260101000000Z";
	_cleanup_(freep) uint8_t *der = malloc(count * ENTRY);
	_cleanup_(crl_table_freep) struct crl_table *table = NULL;
	if (!der)
		abort();
	for (size_t i = 0; i < count; i++) {
		uint8_t *at = der + i * ENTRY;
		memcpy(at, (uint8_t[]){0x30, ENTRY - 2, 0x02, SERIAL}, 4);
		serial_of(i, at + 4);
		memcpy(at + 4 + SERIAL, time, 15);
	}
	uint64_t begin = clock_ns();
	if (crl_table_read(der, count * ENTRY, &table, NULL) < 0)
		abort();
	double read_ms = (double)(clock_ns() - begin) / 1e6;
	struct subject subject = {.step = find_step, .table = table, .size = count, .packets = 1};
	printf("revocation list of %zu: %.1f ms to read, %.1f bytes an entry, %.0f ns to look up\n",
	       count, read_ms, (double)crl_table_memory(table) / (double)count, measure(&subject));
}

static void judge_step(struct subject *subject)
{
	struct revocation_chain chain = {.count = 3};
	uint64_t n = ++subject->counter * UINT64_C(0x2545f4914f6cdd1d);
	for (unsigned i = 0; i < chain.count; i++, n *= 3) {
		memcpy(chain.links[i].key, &n, sizeof(n));
		serial_of(n, chain.links[i].serial);
		chain.links[i].serial_size = SERIAL;
	}
	if (denials_judge(subject->denials, "spiffe://corp.example/laptop/alice", &chain))
		abort();
}

static struct denials *make_denials(size_t count)
{
	struct denial **entries = calloc(count, sizeof(*entries));
	struct denials *denials;
	char text[DENIAL_TEXT_MAX];
	for (size_t i = 0; entries && i < count; i++) {
		int size = snprintf(text, sizeof(text), "%zu 1 deny key %064zx 0 unspecified",
				    i + 1, i);
		if (denial_parse(text, (size_t)size, &entries[i], NULL) < 0)
			abort();
	}
	if (!entries || denials_append(NULL, "corp.example", entries, count, &denials, NULL) < 0)
		abort();
	for (size_t i = 0; i < count; i++)
		denial_put(entries[i]);
	free(entries);
	return denials;
}

// What one session costs when everybody is judged again, and one more entry.
static void measure_denials(size_t count)
{
	uint64_t begin = clock_ns();
	_cleanup_(denials_putp) struct denials *denials = make_denials(count);
	double read_ms = (double)(clock_ns() - begin) / 1e6;
	struct subject subject = {.step = judge_step, .denials = denials, .packets = 1};
	double judge_ns = measure(&subject);
	_cleanup_(denial_putp) struct denial *entry = NULL;
	_cleanup_(denials_putp) struct denials *longer = NULL;
	char text[DENIAL_TEXT_MAX];
	int size = snprintf(text, sizeof(text), "%zu 1 allow key %064x", count + 1, 1);
	begin = clock_ns();
	if (denial_parse(text, (size_t)size, &entry, NULL) < 0 ||
	    denials_append(denials, "corp.example", &entry, 1, &longer, NULL) < 0)
		abort();
	printf("%zu denials: %.1f ms to read, %.0f ns to judge a session (7 look-ups), %.2f ms to add one\n",
	       count, read_ms, judge_ns, (double)(clock_ns() - begin) / 1e6);
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = {64, 512, 1400, SUPER};
	static const unsigned routes[] = {10, 1000, ROUTES_MAX};
	struct packet_spec spec = {.ipv4 = true, .partial = true, .flags = 0x10, .ttl = 64};
	bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
	if (quick)
		round_ns = QUICK_NS;
	rcu_reader_register();
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (unsigned e = SEAL_OPENSSL; e <= SEAL_IPSEC_MB; e++)
			measure_seal(e, CIPHER_AES_256_GCM, sizes[i]);
	for (unsigned i = 0; i < 3; i++)
		measure_seal(SEAL_OPENSSL, CIPHER_CHACHA20_POLY1305, sizes[i]);
	measure_epoch(1400);
	measure_cut(&spec);
	measure_join(&spec);
	uint8_t packet[2000];
	struct subject parse = {.step = parse_step, .frame = packet, .packets = 1};
	parse.size = packet_build(&spec, plain, SEGMENT, packet);
	report("parse (inner_parse)", &parse);
	for (unsigned i = 0; i < (quick ? 2 : 3); i++)
		measure_lookup(routes[i]);
	micro_policy();
	for (size_t count = 1000; count <= (quick ? 1000 : 1000000); count *= 10)
		measure_list(count);
	for (size_t count = 1000; count <= (quick ? 1000 : 1000000); count *= 10)
		measure_denials(count);
	rcu_reader_unregister();
	return 0;
}
