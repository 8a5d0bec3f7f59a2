// SPDX-License-Identifier: Apache-2.0

#include "unit/policy_fixture.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const identities[] = {
	"spiffe://a.example/x",
	"spiffe://a.example/laptop/eng-1",
	"spiffe://a.example/laptop/eng-22",
	"spiffe://a.example/laptop/eng",
	"spiffe://a.example/site/x/y",
	"spiffe://b.example/laptop/eng-1",
	"spiffe://b.example/x",
};
static const char *const patterns[] = {
	NULL,
	"spiffe://a.example/x",
	"spiffe://a.example/*",
	"spiffe://a.example/**",
	"spiffe://a.example/laptop/*",
	"spiffe://a.example/laptop/eng-*",
	"spiffe://a.example/laptop/eng-1",
	"spiffe://a.example/*/eng-*",
	"spiffe://a.example/*/**",
	"spiffe://a.example/l*p/*2*",
	"spiffe://b.example/**",
	"spiffe://b.example/x",
	"spiffe://a.example/*/eng-1",
	"spiffe://a.example/la*/eng",
	"spiffe://a.example/site/*/y",
	"spiffe://a.example/*/*/y",
};
// A name of a CA that is the name of a unit, too.
static const char *const issuers[] = {NULL, "CN=One", "Build"};
static const char *const units[] = {NULL, "Build", "Test"};
static const uint8_t protocols[] = {6, 17, 1, 58, 50, 132, 0, 255};
static const uint16_t ports[] = {0,    1,     22,    23,    80,	  255,	256,   443,
				 2048, 65280, 65534, 65535, 8000, 8100, 0x800, 0x304};

static unsigned choose(struct reader *reader, unsigned count)
{
	return reader->left ? reader_u8(reader) % count : 0;
}

static struct addr choose_addr(struct reader *reader)
{
	static const uint8_t bytes[] = {0, 10, 0x80, 0xff};
	uint8_t mix = reader->left ? reader_u8(reader) : 0;
	struct addr addr = {.family = mix & 1 ? AF_INET6 : AF_INET};
	addr.bytes[0] = bytes[mix >> 1 & 3];
	addr.bytes[1] = bytes[mix >> 3 & 3];
	addr.bytes[ADDR_BYTES(&addr) - 1] = bytes[mix >> 5 & 3];
	return addr;
}

static struct prefix choose_prefix(struct reader *reader)
{
	static const uint8_t lengths[2][8] = {{0, 1, 8, 9, 16, 24, 31, 32},
					      {0, 1, 8, 16, 64, 65, 127, 128}};
	struct prefix prefix = {.addr = choose_addr(reader)};
	prefix.length = lengths[prefix.addr.family == AF_INET6][choose(reader, 8)];
	return prefix_masked(&prefix);
}

static void fill_group(struct reader *reader, struct rule_group *group, struct rule_peer *peers)
{
	group->peers = peers;
	group->peer_count = 1 + choose(reader, POLICY_EACH_MAX);
	for (unsigned i = 0; i < group->peer_count; i++) {
		unsigned mix = choose(reader, 256);
		peers[i] = (struct rule_peer){
			.identity = patterns[choose(reader, COUNT(patterns))],
			.issuer = mix & 1 ? issuers[mix >> 1 & 1 ? 1 : 2] : NULL,
			.unit = mix & 4 ? units[mix >> 3 & 1 ? 1 : 2] : NULL,
			.hardware = (mix & 0x70) == 0x70,
		};
	}
}

static void fill_net(struct reader *reader, struct rule_net *net, struct prefix *prefixes)
{
	net->prefixes = prefixes;
	net->prefix_count = choose(reader, POLICY_EACH_MAX + 1);
	for (unsigned i = 0; i < net->prefix_count; i++)
		prefixes[i] = choose_prefix(reader);
}

static void fill_side(struct reader *reader, const struct rules *rules, struct rule_side *side,
		      unsigned (*words)[POLICY_EACH_MAX])
{
	unsigned mix = choose(reader, 256);
	side->any = (mix & 7) == 0;
	side->groups = words[0];
	side->nets = words[1];
	side->group_count = rules->group_count ? mix >> 3 & 3 : 0;
	side->net_count = rules->net_count ? mix >> 5 & 3 : 0;
	for (unsigned i = 0; i < side->group_count; i++)
		words[0][i] = choose(reader, rules->group_count);
	for (unsigned i = 0; i < side->net_count; i++)
		words[1][i] = choose(reader, rules->net_count);
}

static void fill_service(struct reader *reader, struct rule_service *service)
{
	unsigned mix = choose(reader, 256);
	service->any_protocol = (mix & 15) == 0;
	service->protocols[0] = protocols[mix >> 4 & 7];
	if (mix & 128) {
		service->protocols[0] = 1;
		service->protocols[1] = 58;
	}
	service->first = 0;
	service->last = 65535;
	if ((mix & 3) == 0)
		return;
	service->first = service->last = ports[choose(reader, COUNT(ports))];
	if ((mix & 3) == 1)
		service->last = ports[choose(reader, COUNT(ports))];
	if (service->first > service->last) {
		uint16_t swap = service->first;
		service->first = service->last;
		service->last = swap;
	}
}

static void fill_rule(struct reader *reader, struct policy_fixture *fixture, unsigned number)
{
	struct rule *rule = &fixture->list[number];
	unsigned mix = choose(reader, 256);
	rule->deny = (mix & 3) == 0;
	rule->reject = mix >> 2 & 1;
	rule->log = mix >> 3 & 1;
	fixture->holds[number] = (mix >> 4 & 7) != 0;
	rule->services = fixture->services[number];
	rule->service_count = choose(reader, POLICY_EACH_MAX + 1);
	fill_side(reader, &fixture->rules, &rule->from, &fixture->words[number][0]);
	fill_side(reader, &fixture->rules, &rule->to, &fixture->words[number][2]);
	for (unsigned i = 0; i < rule->service_count; i++)
		fill_service(reader, &fixture->services[number][i]);
}

void policy_fixture_fill(struct policy_fixture *fixture, struct reader *reader)
{
	struct rules *rules = &fixture->rules;
	memset(fixture, 0, sizeof(*fixture));
	rules->reject = choose(reader, 2);
	rules->groups = fixture->groups;
	rules->group_count = choose(reader, POLICY_GROUPS + 1);
	for (unsigned i = 0; i < rules->group_count; i++)
		fill_group(reader, &fixture->groups[i], fixture->peers[i]);
	rules->nets = fixture->nets;
	rules->net_count = choose(reader, POLICY_NETS + 1);
	for (unsigned i = 0; i < rules->net_count; i++)
		fill_net(reader, &fixture->nets[i], fixture->prefixes[i]);
	unsigned count = choose(reader, 4) ? choose(reader, 40) : 2 * choose(reader, 200);
	for (unsigned i = 0; i < count; i++)
		fill_rule(reader, fixture, i);
	rules->rules = fixture->list;
	rules->rule_count = count - count / 4;
	rules->inbound = fixture->list + rules->rule_count;
	rules->inbound_count = count / 4;
	fixture->active[FILTER_RULES] = fixture->holds;
	fixture->active[FILTER_INBOUND] =
		choose(reader, 2) ? NULL : fixture->holds + rules->rule_count;
}

const struct filter_peer *policy_fixture_peer(unsigned number)
{
	static const char *const both[] = {"Other", "Build", "Test"};
	static struct filter_peer peers[POLICY_PEERS];
	struct filter_peer *peer = &peers[number];
	*peer = (struct filter_peer){
		.identity = identities[number % COUNT(identities)],
		.issuer = issuers[number % 3],
		.units = both + number % 2,
		.unit_count = number % 3,
		.hardware = number >= COUNT(identities),
	};
	return peer;
}

void policy_fixture_question(struct reader *reader, struct addr addrs[2], struct rule_question *ret)
{
	unsigned mix = choose(reader, 256);
	addrs[0] = choose_addr(reader);
	addrs[1] = choose_addr(reader);
	*ret = (struct rule_question){
		.program = mix & 1,
		.from.addr = &addrs[0],
		.to.addr = &addrs[1],
		.protocol = protocols[mix >> 3 & 7],
		.port = ports[choose(reader, COUNT(ports))],
	};
	if (mix & 2)
		ret->from.peer = policy_fixture_peer(choose(reader, POLICY_PEERS));
	if (mix & 4)
		ret->to.peer = policy_fixture_peer(choose(reader, POLICY_PEERS));
	// Beside what rules name, too.
	ret->port = (uint16_t)(ret->port + (mix >> 6) - 1);
}

const char *policy_fixture_differ(const struct policy_fixture *fixture, struct filter *filter,
				  const struct rule_question *question, struct filter_verdict *ret)
{
	struct filter_verdict fast;
	struct filter_question ask = {
		.program = question->program,
		.from.addr = question->from.addr,
		.to.addr = question->to.addr,
		.protocol = question->protocol,
		.port = question->port,
	};
	if (question->from.peer)
		ask.from.class = filter_class_of(filter, question->from.peer);
	if (question->to.peer)
		ask.to.class = filter_class_of(filter, question->to.peer);
	if ((question->from.peer && !ask.from.class) || (question->to.peer && !ask.to.class))
		return "no class";
	filter_judge(filter, &ask, &fast);
	rules_judge(&fixture->rules, fixture->active, question, ret, NULL);
	if (fast.allow != ret->allow)
		return "allow";
	if (fast.rule != ret->rule)
		return "rule";
	return fast.reject != ret->reject || fast.log != ret->log ? "reject or log" : NULL;
}
