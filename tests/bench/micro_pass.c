// SPDX-License-Identifier: Apache-2.0
// What judging a packet costs a worker, from its bytes to whether it may go on: by the flow of the packet before it, by its flow, by
// the filter when there is none, and when it makes one; under 10, 1,000 and 10,000 rules.

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bench/micro.h"
#include "base/clock.h"
#include "tun/guard.h"
#include "tun/inner.h"
#include "tun/note.h"
#include "tun/pass.h"
#include "tun/route.h"
#include "tun/session.h"
#include "tun/transport.h"
#include "tun/worker.h"

#define SIZE	 40u // IPv4 and TCP, or UDP with a little payload
#define PACKETS	 60000u
#define ROTATING 4096u
#define ROUNDS	 5u

struct world {
	struct dataplane *dataplane;
	struct worker *worker;
	struct session *session;
	uint8_t protocol;
	uint8_t packets[PACKETS][SIZE];
	unsigned count, next;
	bool flush; // each packet is the first of a run
	enum drop expected;
};

static const struct addr peer_addr = {.family = AF_INET, .bytes = {172, 16, 0, 1}};

static void build(const struct world *world, uint8_t packet[SIZE], const struct addr *to,
		  uint16_t from_port, uint16_t port)
{
	memset(packet, 0, SIZE);
	packet[0] = 0x45;
	put16(packet + 2, SIZE);
	packet[8] = 64;
	packet[9] = world->protocol;
	memcpy(packet + 12, peer_addr.bytes, 4);
	memcpy(packet + 16, to->bytes, 4);
	put16(packet + 10, (uint16_t)~checksum_add(0, packet, 20));
	put16(packet + 20, from_port);
	put16(packet + 22, port);
	if (world->protocol == IPPROTO_UDP) {
		put16(packet + 24, SIZE - 20);
		return;
	}
	put32(packet + 28, 1);
	packet[32] = 0x50;
	packet[33] = TCP_ACK;
}

static void judge_step(void *data)
{
	struct world *world = data;
	const uint8_t *packet = world->packets[world->next++ % world->count];
	const struct routes *routes = dataplane_routes(world->dataplane);
	struct inner inner;
	struct pass pass = {.inner = &inner, .packet = packet, .size = SIZE, .packets = 1};
	enum drop drop = inner_parse(packet, SIZE, &inner);
	if (world->flush)
		pass_flush(world->worker);
	pass.from = world->session;
	if (drop == DROP_NONE && !pass_knows(world->worker, world->session, &inner, &pass.to)) {
		if (route_lookup(routes, &inner.source) != world->session)
			abort();
		pass.to = route_lookup(routes, &inner.destination);
	}
	if (drop == DROP_NONE)
		drop = pass_judge(world->worker, &pass);
	if (drop != world->expected)
		abort();
}

static void report(struct world *world, unsigned rules, const char *what)
{
	printf("judge, %5u rules, %-22s %10.1f ns a packet\n", rules, what,
	       micro_measure(judge_step, world));
}

static bool keep_none(struct flow *flow, void *data)
{
	(void)flow;
	(void)data;
	return false;
}

static void forget_flows(struct world *world)
{
	struct flow_sweep all = {.now_s = (uint32_t)(clock_ms() / 1000), .keep = keep_none};
	pass_flush(world->worker);
	while (!flows_sweep(dataplane_guard(world->dataplane)->flows, &all))
		continue;
}

static void report_new(struct world *world, unsigned rules)
{
	double best = 0;
	for (unsigned round = 0; round < ROUNDS; round++) {
		forget_flows(world);
		uint64_t begin = clock_ns();
		for (unsigned i = 0; i < world->count; i++)
			judge_step(world);
		double ns = (double)(clock_ns() - begin) / world->count;
		best = round == 0 || ns < best ? ns : best;
	}
	printf("judge, %5u rules, %-22s %10.1f ns a packet\n", rules, "a new flow", best);
	forget_flows(world);
}

// A rule that lets something of the protocol through for its team.
static const struct rule *some_rule(const struct rules *rules, uint8_t protocol)
{
	for (unsigned i = 0; i < rules->rule_count; i++) {
		const struct rule *rule = &rules->rules[i];
		const struct filter_peer peer = {.identity = micro_identity(rule->from.groups[0])};
		const struct addr *to = &rules->nets[rule->to.nets[0]].prefixes[0].addr;
		struct rule_question question = {
			.from = {&peer, &peer_addr},
			.to.addr = to,
			.protocol = protocol,
			.port = rule->services[0].first,
		};
		struct filter_verdict verdict;
		rules_judge(rules, NULL, &question, &verdict, NULL);
		if (verdict.allow)
			return rule;
	}
	abort();
}

// As the first packets, up to `count`: each of a flow of its own that the rule allows.
static void set_up(struct world *world, const struct rules *rules, uint8_t protocol, unsigned count)
{
	const struct rule *rule = some_rule(rules, protocol);
	const struct addr *to = &rules->nets[rule->to.nets[0]].prefixes[0].addr;
	struct dataplane_options options = {.workers = 0, .mtu = 1400};
	struct flow_limits limits = {1u << 20, 1u << 20};
	struct prefix route = prefix_of(&peer_addr);
	struct filter *filter;
	world->worker = calloc(1, sizeof(*world->worker));
	if (!world->worker || dataplane_new(&options, &world->dataplane, NULL) < 0 ||
	    session_new(world->dataplane, false, micro_identity(rule->from.groups[0]), NULL, 25,
			&world->session) < 0 ||
	    routes_add(dataplane_routes(world->dataplane), &route, 1, world->session) < 0 ||
	    filter_new(rules, NULL, &filter) < 0 ||
	    dataplane_set_filter(world->dataplane, filter) < 0)
		abort();
	flows_set_limits(dataplane_guard(world->dataplane)->flows, &limits);
	world->worker->dataplane = world->dataplane;
	world->worker->now_ms = clock_ms();
	world->worker->notes = notes_new(-1);
	world->protocol = protocol;
	world->expected = DROP_NONE;
	for (unsigned i = 0; i < count; i++)
		build(world, world->packets[i], to, (uint16_t)(1 + i), rule->services[0].first);
}

static void tear_down(struct world *world)
{
	session_free(world->session);
	dataplane_free(world->dataplane);
	notes_free(world->worker->notes);
	free(world->worker);
}

static void report_tcp(struct world *world, const struct rules *rules, unsigned count)
{
	set_up(world, rules, IPPROTO_TCP, 1);
	world->count = 1;
	world->flush = false;
	report(world, count, "the same flow, TCP");
	forget_flows(world);
	tear_down(world);
}

void micro_pass(unsigned count)
{
	static struct world world;
	struct rules rules = micro_rules(count, false);
	set_up(&world, &rules, IPPROTO_UDP, PACKETS);
	world.count = PACKETS;
	world.flush = true;
	report_new(&world, count);
	world.count = ROTATING;
	report(&world, count, "one of 4,096 flows");
	world.count = 1;
	world.flush = false;
	report(&world, count, "the same flow");
	forget_flows(&world);
	for (unsigned i = 0; i < PACKETS; i++)
		put16(world.packets[i] + 22, 40000 + i % 20000);
	world.count = PACKETS;
	world.flush = true;
	world.expected = DROP_POLICY;
	report(&world, count, "refused");
	tear_down(&world);
	report_tcp(&world, &rules, count);
}
