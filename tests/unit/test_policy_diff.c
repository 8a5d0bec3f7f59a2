// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/clock.h"
#include "server/pattern_class.h"
#include "server/policy.h"
#include "server/policy_diff.h"
#include "server/policy_service.h"

#define D "spiffe://d/"

// Random policies over few words, so that rules meet each other.
static const char *const patterns[] = {D "*",	D "a*", D "*b",	 D "a*b", D "ab",	 D "x/**",
				       D "x/*", D "**", D "x/y", D "c",	  "spiffe://e/*"};
static const char *const identities[] = {D "a",	    D "ab",	    D "aab",	    D "b",
					 D "c",	    D "z",	    D "x/y",	    D "x/z",
					 D "x/y/z", "spiffe://e/a", "spiffe://f/a", NULL};
static const char *const prefixes[] = {"10.0.0.0/8",  "10.0.0.0/9",  "10.128.0.0/9",
				       "10.1.0.0/16", "10.1.1.1/32", "fd00::/8",
				       "fd00::/64",   "0.0.0.0/0",   "192.0.2.0/24"};
static const char *const addresses[] = {"10.0.0.1",   "10.1.0.1",  "10.1.1.1",
					"10.200.0.1", "192.0.2.9", "1.1.1.1",
					"fd00::1",    "fdff::1",   "2001:db8::1"};
static const char *const services[] = {"tcp/22", "tcp/20-30", "tcp", "udp/53",
				       "icmp",	 "any",	      "esp", "icmp/8"};
static const struct {
	uint8_t protocol;
	uint16_t port;
} asked[] = {{6, 22},	  {6, 25}, {6, 31},	   {17, 53}, {17, 54},
	     {1, 8 << 8}, {1, 0},  {58, 128 << 8}, {50, 0},  {99, 0}};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define GROUPS	    5u
#define NETS	    4u
#define RULES	    6u

static unsigned dice(unsigned *seed, unsigned sides)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (*seed >> 8) % sides;
}

static struct rule_side random_side(struct arena *arena, unsigned *seed)
{
	struct rule_side side = {.any = dice(seed, 5) == 0};
	unsigned *groups = arena_alloc(arena, 1, sizeof(unsigned));
	unsigned *nets = arena_alloc(arena, 1, sizeof(unsigned));
	*groups = dice(seed, GROUPS);
	*nets = dice(seed, NETS);
	side.groups = groups;
	side.nets = nets;
	side.group_count = !side.any && dice(seed, 2);
	side.net_count = !side.any && (dice(seed, 2) || !side.group_count);
	return side;
}

static const struct rule_group *random_groups(struct arena *arena, unsigned *seed)
{
	struct rule_group *groups = arena_alloc(arena, GROUPS, sizeof(*groups));
	for (unsigned i = 0; i < GROUPS; i++) {
		struct rule_peer *peers = arena_alloc(arena, 2, sizeof(*peers));
		for (unsigned j = 0; j < 2; j++) {
			peers[j].identity = patterns[dice(seed, COUNT(patterns))];
			if (dice(seed, 4) == 0)
				peers[j].unit = dice(seed, 2) ? "u" : "v";
			if (dice(seed, 6) == 0)
				peers[j].issuer = "CN=i";
			peers[j].hardware = dice(seed, 6) == 0;
			if (dice(seed, 8) == 0 && peers[j].unit)
				peers[j].identity = NULL;
		}
		groups[i] = (struct rule_group){.peers = peers, .peer_count = 1 + dice(seed, 2)};
	}
	return groups;
}

static const struct rule_net *random_nets(struct arena *arena, unsigned *seed)
{
	struct rule_net *nets = arena_alloc(arena, NETS, sizeof(*nets));
	for (unsigned i = 0; i < NETS; i++) {
		struct prefix *list = arena_alloc(arena, 2, sizeof(*list));
		for (unsigned j = 0; j < 2; j++)
			assert_int_equal(
				prefix_parse(prefixes[dice(seed, COUNT(prefixes))], &list[j]), 0);
		nets[i] = (struct rule_net){.prefixes = list, .prefix_count = 1 + dice(seed, 2)};
	}
	return nets;
}

static struct rules random_rules(struct arena *arena, unsigned *seed, const struct rules *like)
{
	struct rule *list = arena_alloc(arena, RULES, sizeof(*list));
	for (unsigned i = 0; i < RULES; i++) {
		struct rule_service *parts =
			arena_alloc(arena, POLICY_SERVICE_PARTS, sizeof(*parts));
		// Half of the rules are those of the other one.
		if (like && dice(seed, 2)) {
			list[i] = like->rules[i];
			continue;
		}
		list[i].from = random_side(arena, seed);
		list[i].to = random_side(arena, seed);
		list[i].deny = dice(seed, 3) == 0;
		list[i].services = parts;
		list[i].service_count = (unsigned)policy_service_parse(
			services[dice(seed, COUNT(services))], parts, NULL);
	}
	return (struct rules){.groups = like ? like->groups : random_groups(arena, seed),
			      .group_count = GROUPS,
			      .nets = like ? like->nets : random_nets(arena, seed),
			      .net_count = NETS,
			      .rules = list,
			      .rule_count = RULES};
}

static bool is_allowed(const struct rules *rules, const struct rule_question *question)
{
	struct filter_verdict verdict;
	rules_judge(rules, NULL, question, &verdict, NULL);
	return verdict.allow;
}

// Every identity with some certificate, or none.
static const struct filter_peer *peer_of(unsigned n, struct filter_peer *ret)
{
	static const char *const units[][2] = {{NULL}, {"u"}, {"v"}, {"u", "v"}};
	static const unsigned counts[] = {0, 1, 1, 2};
	const char *identity = identities[n % COUNT(identities)];
	unsigned kind = n / COUNT(identities);
	*ret = (struct filter_peer){
		.identity = identity,
		.units = units[kind % 4],
		.unit_count = counts[kind % 4],
		.issuer = kind & 4 ? "CN=i" : NULL,
		.hardware = kind & 8,
	};
	return identity ? ret : NULL;
}

static void compare(const struct rules *old, const struct rules *new,
		    const struct policy_diff *diff, unsigned *seed)
{
	for (unsigned i = 0; i < 400; i++) {
		struct filter_peer from, to;
		struct addr from_addr, to_addr;
		unsigned service = dice(seed, COUNT(asked));
		assert_int_equal(addr_parse(addresses[dice(seed, COUNT(addresses))], &from_addr),
				 0);
		assert_int_equal(addr_parse(addresses[dice(seed, COUNT(addresses))], &to_addr), 0);
		const struct rule_question question = {
			.from = {peer_of(dice(seed, 16 * COUNT(identities)), &from), &from_addr},
			.to = {peer_of(dice(seed, 16 * COUNT(identities)), &to), &to_addr},
			.protocol = asked[service].protocol,
			.port = asked[service].port,
		};
		int expected = (int)is_allowed(new, &question) - (int)is_allowed(old, &question);
		assert_int_equal(policy_diff_at(diff, &question), expected);
	}
}

static void count_change(const struct policy_change *change, void *data)
{
	assert_true(*change->from && *change->to && (*change->gained || *change->lost));
	++*(unsigned *)data;
}

static void test_random(void **state)
{
	unsigned differ = 0;
	(void)state;
	for (unsigned round = 0; round < 600; round++) {
		_cleanup_(arena_freep) struct arena *arena = arena_new();
		_cleanup_(policy_diff_freep) struct policy_diff *diff = NULL;
		unsigned seed = round, changes = 0;
		struct rules old = random_rules(arena, &seed, NULL);
		struct rules new = random_rules(arena, &seed, round % 3 ? &old : NULL);
		assert_int_equal(policy_diff_new(&old, &new, FILTER_RULES, 1, NULL, &diff), 0);
		assert_false(policy_diff_cut(diff));
		compare(&old, &new, diff, &seed);
		assert_int_equal(policy_diff_each(diff, count_change, &changes), 0);
		differ += changes > 0;
	}
	assert_in_range(differ, 300, 600);
}

// --- in words

struct said {
	char text[4096];
};

static void say(const struct policy_change *change, void *data)
{
	struct said *said = data;
	size_t used = strlen(said->text);
	snprintf(said->text + used, sizeof(said->text) - used, "%s -> %s: +%s -%s\n", change->from,
		 change->to, change->gained, change->lost);
}

static void check_own(const struct rules *old, const struct rules *new, const struct rule_net *own,
		      const char *expected)
{
	_cleanup_(policy_diff_freep) struct policy_diff *diff = NULL;
	struct said said = {0};
	assert_int_equal(policy_diff_new(old, new, FILTER_RULES, 1, own, &diff), 0);
	assert_int_equal(policy_diff_each(diff, say, &said), 0);
	assert_string_equal(said.text, expected);
}

static void check_words(const struct rules *old, const struct rules *new, const char *expected)
{
	check_own(old, new, NULL, expected);
}

static void test_words(void **state)
{
	static const struct rule_peer eng[] = {{.identity = D "eng-*"}};
	static const struct rule_peer seven[] = {{.identity = D "eng-7"}};
	static const struct rule_group groups[] = {{"group:eng", eng, 1}, {NULL, seven, 1}};
	static const struct prefix staging[] = {{{AF_INET, {10, 20}}, 16}};
	static const struct prefix wiki[] = {{{AF_INET, {10, 20, 0, 5}}, 32}};
	static const struct rule_net nets[] = {{"net:staging", staging, 1}, {"host:wiki", wiki, 1}};
	static const unsigned zero[] = {0}, one[] = {1};
	static const struct rule_service ssh = {.protocols = {6}, .first = 22, .last = 22};
	static const struct rule_service tcp = {.protocols = {6}, .last = 65535};
	static const struct rule_side from_eng = {.groups = zero, .group_count = 1};
	static const struct rule_side from_seven = {.groups = one, .group_count = 1};
	static const struct rule_side to_staging = {.nets = zero, .net_count = 1};
	static const struct rule_side to_wiki = {.nets = one, .net_count = 1};
	const struct rule allow = {
		.from = from_eng, .to = to_staging, .services = &ssh, .service_count = 1};
	const struct rule wide = {
		.from = from_eng, .to = to_staging, .services = &tcp, .service_count = 1};
	const struct rule deny = {.from = from_seven,
				  .to = to_wiki,
				  .services = &ssh,
				  .service_count = 1,
				  .deny = true};
	struct rules base = {.groups = groups, .group_count = 2, .nets = nets, .net_count = 2};
	struct rules none = base, first = base, second = base, third = base;
	const struct rule both[] = {allow, deny};
	(void)state;
	first.rules = &allow;
	second.rules = &wide;
	third.rules = both;
	first.rule_count = second.rule_count = 1;
	third.rule_count = 2;
	check_words(&first, &first, "");
	check_words(&none, &first, "group:eng -> net:staging: +tcp/22 -\n");
	check_words(&first, &none, "group:eng -> net:staging: + -tcp/22\n");
	check_words(&first, &second, "group:eng -> net:staging: +tcp/0-21, tcp/23-65535 -\n");
	check_words(&first, &third, D "eng-7 -> host:wiki: + -tcp/22\n");
	check_words(&none, &third,
		    "group:eng but not " D "eng-7 -> net:staging: +tcp/22 -\n" D
		    "eng-7 -> net:staging but not host:wiki: +tcp/22 -\n");
}

// A rule that is for this node alone against one for everything, and one for a network in which it has an address, if that is known.
static void test_own(void **state)
{
	static const struct prefix lan[] = {{{AF_INET, {10, 30}}, 16}};
	static const struct prefix home[] = {{{AF_INET, {10, 30, 0, 1}}, 32},
					     {{AF_INET6, {0xfd}}, 128}};
	static const struct rule_net nets[] = {{"net:lan", lan, 1}};
	static const struct rule_net own = {.prefixes = home, .prefix_count = 2};
	static const unsigned zero[] = {0};
	static const struct rule_service ssh = {.protocols = {6}, .first = 22, .last = 22};
	const struct rule wide = {
		.from.any = true, .to.any = true, .services = &ssh, .service_count = 1};
	struct rule alone = wide, narrow = wide;
	struct rules base = {.nets = nets, .net_count = 1, .rules = &alone, .rule_count = 1};
	struct rules all = base, one = base;
	(void)state;
	alone.own = true;
	narrow.to = (struct rule_side){.nets = zero, .net_count = 1};
	all.rules = &wide;
	one.rules = &narrow;
	check_words(&base, &base, "");
	check_words(&base, &all, "any -> anywhere but this node itself: +tcp/22 -\n");
	check_words(&all, &base, "any -> anywhere but this node itself: + -tcp/22\n");
	check_words(&base, &one, "any -> this node itself: + -tcp/22\nany -> net:lan: +tcp/22 -\n");
	check_own(&base, &base, &own, "");
	check_own(&base, &all, &own, "any -> anywhere but this node itself: +tcp/22 -\n");
	check_own(
		&base, &one, &own,
		"any -> 10.30.0.0/16 without 10.30.0.1/32: +tcp/22 -\nany -> fd00::/128: + -tcp/22\n");
}

// --- classes of patterns

static void test_classes(void **state)
{
	static const char *const list[] = {D "a*", D "*b", D "x/**", D "*/y", D ".*"};
	_cleanup_(arena_freep) struct arena *arena = arena_new();
	struct pattern_class *classes;
	size_t count;
	bool cut;
	(void)state;
	assert_int_equal(pattern_classes(list, 5, arena, &classes, &count, &cut), 0);
	assert_false(cut);
	// a, b, ab, x/., x/y, a/y, .., .b
	for (size_t i = 0; i < count; i++)
		print_message("%s: %u\n", classes[i].example, classes[i].count);
	assert_int_equal(count, 8);
}

// --- size

static void test_large(void **state)
{
	enum { GROUPS_L = 1000, NETS_L = 500, RULES_L = 10000 };
	_cleanup_(arena_freep) struct arena *arena = arena_new();
	struct rule_group *groups = arena_alloc(arena, GROUPS_L, sizeof(*groups));
	struct rule_net *nets = arena_alloc(arena, NETS_L, sizeof(*nets));
	struct rule *old = arena_alloc(arena, RULES_L, sizeof(*old));
	unsigned *numbers = arena_alloc(arena, GROUPS_L, sizeof(*numbers));
	(void)state;
	for (unsigned i = 0; i < GROUPS_L; i++) {
		char text[64];
		struct rule_peer *peer = arena_alloc(arena, 1, sizeof(*peer));
		snprintf(text, sizeof(text), D "g%u-*", i);
		peer->identity = arena_text(arena, text);
		groups[i] = (struct rule_group){NULL, peer, 1};
		numbers[i] = i;
	}
	for (unsigned i = 0; i < NETS_L; i++) {
		struct prefix *prefix = arena_alloc(arena, 1, sizeof(*prefix));
		*prefix = (struct prefix){{AF_INET, {10, (uint8_t)(i / 250), (uint8_t)(i % 250)}},
					  24};
		nets[i] = (struct rule_net){NULL, prefix, 1};
	}
	for (unsigned i = 0; i < RULES_L; i++) {
		struct rule_service *service = arena_alloc(arena, 1, sizeof(*service));
		*service = (struct rule_service){
			.protocols = {6}, .first = (uint16_t)(i + 1), .last = (uint16_t)(i + 1)};
		old[i] = (struct rule){.from = {.groups = &numbers[i % GROUPS_L], .group_count = 1},
				       .to = {.nets = &numbers[i % NETS_L], .net_count = 1},
				       .deny = i % 10 == 0,
				       .services = service,
				       .service_count = 1};
	}
	struct rule *new = arena_copy(arena, old, RULES_L, sizeof(*old));
	for (unsigned i = 0; i < RULES_L; i += 100)
		new[i].deny = !new[i].deny;
	struct rules before = {groups, GROUPS_L, nets, NETS_L, old, RULES_L, NULL, 0, true};
	struct rules after = before, empty = before;
	after.rules = new;
	empty.rule_count = 0;
	for (unsigned i = 0; i < 2; i++) {
		_cleanup_(policy_diff_freep) struct policy_diff *diff = NULL;
		unsigned changes = 0;
		uint64_t begin = clock_ms();
		assert_int_equal(
			policy_diff_new(&before, i ? &empty : &after, FILTER_RULES, 1, NULL, &diff),
			0);
		assert_int_equal(policy_diff_each(diff, count_change, &changes), 0);
		print_message("%u changes, %llu ms\n", changes,
			      (unsigned long long)(clock_ms() - begin));
		assert_false(policy_diff_cut(diff));
		assert_true(changes > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classes), cmocka_unit_test(test_random),
		cmocka_unit_test(test_words),	cmocka_unit_test(test_own),
		cmocka_unit_test(test_large),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
