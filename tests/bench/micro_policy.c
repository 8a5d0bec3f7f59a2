// SPDX-License-Identifier: Apache-2.0
// What a verdict costs when no flow answers, and a filter to make: companies of 10, 1,000 and 10,000 rules, whose groups, networks
// and services grow with them.

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/micro.h"
#include "base/clock.h"
#include "tun/filter.h"
#include "tun/rule.h"

#define RULES_MAX 10000u
#define PEERS_MAX 10000u
#define ASKED	  4096u // questions in a round, so that caches do not hold the answer to one
#define IDENTITY  64u

static struct rule list[RULES_MAX];
static unsigned words[RULES_MAX][2];
static struct rule_service services[RULES_MAX];
static struct rule_group groups[RULES_MAX];
static struct rule_peer patterns[RULES_MAX];
static struct rule_net nets[RULES_MAX];
static struct prefix prefixes[RULES_MAX];
static char texts[RULES_MAX][IDENTITY], identities[PEERS_MAX][IDENTITY];

static uint32_t random_below(uint32_t limit)
{
	static uint64_t seed = 1;
	uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	return (uint32_t)(z >> 33) % limit;
}

// A tenth of the rules' number of teams, with a network each: half of them of their own, half within a wider one of 256.
static void make_parts(unsigned parts)
{
	for (unsigned i = 0; i < parts; i++) {
		snprintf(texts[i], IDENTITY, "spiffe://corp.example/laptop/team%u-*", i);
		patterns[i] = (struct rule_peer){.identity = texts[i]};
		groups[i] = (struct rule_group){.peers = &patterns[i], .peer_count = 1};
		prefixes[i] = (struct prefix){
			.addr = {.family = AF_INET,
				 .bytes = {10, (uint8_t)(i >> 8), (uint8_t)i, (uint8_t)(i * 4)}},
			.length = (uint8_t)(i % 16 == 0 ? 16 : 30)};
		prefixes[i] = prefix_masked(&prefixes[i]);
		nets[i] = (struct rule_net){.prefixes = &prefixes[i], .prefix_count = 1};
	}
	for (unsigned i = 0; i < PEERS_MAX; i++)
		snprintf(identities[i], IDENTITY, "spiffe://corp.example/laptop/team%u-%u",
			 i % parts, i);
}

struct rules micro_rules(unsigned count, bool one)
{
	unsigned parts = count < 100 ? 10 : count / 10;
	make_parts(parts);
	for (unsigned i = 0; i < count; i++) {
		struct rule *rule = &list[i];
		uint16_t port = (uint16_t)(1 + random_below(20000));
		words[i][0] = one ? 0 : random_below(parts);
		words[i][1] = random_below(parts);
		services[i] = (struct rule_service){
			.protocols = {i % 5 ? IPPROTO_TCP : IPPROTO_UDP},
			.first = port,
			.last = (uint16_t)(i % 7 ? port : port + 100),
		};
		*rule = (struct rule){
			.deny = i % 16 == 3,
			.from = {.groups = &words[i][0], .group_count = 1},
			.to = {.nets = &words[i][1], .net_count = 1},
			.services = &services[i],
			.service_count = 1,
		};
		if (!one && i % 64 == 7)
			rule->from.any = true;
	}
	return (struct rules){
		.groups = groups,
		.group_count = parts,
		.nets = nets,
		.net_count = parts,
		.rules = list,
		.rule_count = count,
	};
}

const char *micro_identity(unsigned group)
{
	return identities[group];
}

struct asked {
	const struct filter *filter;
	struct filter_question questions[ASKED];
	struct addr from, to[ASKED];
	unsigned next, allowed;
};

static void judge_step(void *data)
{
	struct asked *asked = data;
	struct filter_verdict verdict;
	filter_judge(asked->filter, &asked->questions[asked->next++ % ASKED], &verdict);
	asked->allowed += verdict.allow;
}

// Half of what is asked is what some rule says.
static void make_questions(struct asked *asked, struct filter *filter, const struct rules *rules)
{
	asked->filter = filter;
	asked->from = (struct addr){.family = AF_INET, .bytes = {172, 16, 0, 1}};
	for (unsigned i = 0; i < ASKED; i++) {
		unsigned n = random_below(rules->rule_count);
		const struct rule *rule = &rules->rules[n];
		unsigned team = i % 2 ? rule->from.groups[0] : random_below(rules->group_count);
		const struct filter_peer peer = {.identity = identities[team]};
		asked->to[i] = rules->nets[rule->to.nets[0]].prefixes[0].addr;
		asked->questions[i] = (struct filter_question){
			.from = {filter_class_of(filter, &peer), &asked->from},
			.to.addr = &asked->to[i],
			.protocol = rule->services[0].protocols[0],
			.port = i % 2 ? rule->services[0].first : (uint16_t)random_below(20000),
		};
		if (!asked->questions[i].from.class)
			abort();
	}
}

static void measure_judge(unsigned count, bool one)
{
	static struct asked asked;
	_cleanup_(filter_freep) struct filter *filter = NULL;
	struct rules rules = micro_rules(count, one);
	if (filter_new(&rules, NULL, &filter) < 0)
		abort();
	make_questions(&asked, filter, &rules);
	printf("verdict of %5u rules%-23s %10.1f ns a flow\n", count,
	       one ? ", all of one group" : "", micro_measure(judge_step, &asked));
	if (asked.allowed == 0)
		abort();
}

static void measure_compile(unsigned count, unsigned peers)
{
	struct rules rules = micro_rules(count, false);
	struct filter *filter;
	uint64_t begin = clock_ns();
	if (filter_new(&rules, NULL, &filter) < 0)
		abort();
	double rules_ms = (double)(clock_ns() - begin) / 1e6;
	for (unsigned i = 0; i < peers; i++) {
		const struct filter_peer peer = {.identity = identities[i]};
		const struct filter_class *class = filter_class_of(filter, &peer);
		if (!class)
			abort();
		filter_set_class(filter, i + 1, class);
	}
	printf("filter of %5u rules and %5u identities: %.1f ms, %.1f ms of it for the rules\n",
	       count, peers, (double)(clock_ns() - begin) / 1e6, rules_ms);
	filter_free(filter);
}

void micro_policy(void)
{
	static const unsigned counts[] = {10, 1000, RULES_MAX};
	for (unsigned i = 0; i < 3; i++)
		measure_judge(counts[i], false);
	for (unsigned i = 0; i < 3; i++)
		measure_judge(counts[i], true);
	for (unsigned i = 0; i < 3; i++)
		micro_pass(counts[i]);
	measure_compile(RULES_MAX, 1000);
	measure_compile(RULES_MAX, PEERS_MAX);
}
