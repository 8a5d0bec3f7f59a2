// SPDX-License-Identifier: Apache-2.0
// What is pushed must say the same as what was configured, whatever it was joined to: random addresses are asked.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "server/admit.h"
#include "server/announce.h"

#define MAX   64u
#define SITES 6u
#define NETS  20u

static struct prefix prefix(const char *text)
{
	struct prefix value;
	assert_int_equal(prefix_parse(text, &value), 0);
	return value;
}

static int compare(const void *a, const void *b)
{
	return prefix_compare(a, b);
}

static bool holds(const struct prefix *list, unsigned count, const struct addr *addr)
{
	for (unsigned i = 0; i < count; i++)
		if (prefix_contains(&list[i], addr))
			return true;
	return false;
}

static bool lists(const struct prefix *list, unsigned count, const char *text)
{
	struct prefix wanted = prefix(text);
	for (unsigned i = 0; i < count; i++)
		if (prefix_equal(&list[i], &wanted))
			return true;
	return false;
}

static void joins_what_says_the_same(void **state)
{
	struct prefix pools[] = {prefix("10.90.0.0/16")};
	struct prefix routes[] = {prefix("10.2.0.0/16"), prefix("10.2.7.0/24")};
	struct prefix nets[] = {prefix("10.1.0.0/24"), prefix("10.1.1.0/24"),
				prefix("10.1.2.0/23"), prefix("10.2.128.0/17"),
				prefix("fd00::/64"),   prefix("fd00:0:0:1::/64")};
	struct admit_peer site = {.identity = "a", .networks = nets, .network_count = 6};
	struct announce_options options = {pools, 1, routes, 2, &site, 1};
	struct prefix got[MAX];
	(void)state;
	_cleanup_(announce_freep) struct announce *announce = announce_new(&options, MAX);
	assert_non_null(announce);
	assert_int_equal(announce_left_out(announce), 0);
	assert_int_equal(announce_to(announce, NULL, got), 4);
	assert_true(lists(got, 4, "10.1.0.0/22") && lists(got, 4, "10.2.0.0/16") &&
		    lists(got, 4, "10.90.0.0/16") && lists(got, 4, "fd00::/63"));
	// The site is not told to send here what is behind it, nor the half of 10.2.0.0/16 that is.
	unsigned count = announce_to(announce, &site, got);
	assert_int_equal(count, 2);
	assert_true(lists(got, 2, "10.2.0.0/17") && lists(got, 2, "10.90.0.0/16"));
}

static void cuts_around_what_is_translated(void **state)
{
	struct prefix nets[] = {prefix("10.201.1.0/24")};
	struct translation translation = {prefix("192.168.1.0/24"), prefix("10.201.1.0/24")};
	struct admit_peer site = {.identity = "a",
				  .networks = nets,
				  .network_count = 1,
				  .translations = &translation,
				  .translation_count = 1};
	struct prefix all = prefix("0.0.0.0/0");
	struct addr own, other, behind;
	struct prefix got[MAX];
	(void)state;
	unsigned count = announce_list(&all, 1, &site, got, MAX);
	assert_int_equal(addr_parse("192.168.1.9", &own), 0);
	assert_int_equal(addr_parse("192.168.2.9", &other), 0);
	assert_int_equal(addr_parse("10.201.1.9", &behind), 0);
	assert_false(holds(got, count, &own) || holds(got, count, &behind));
	assert_true(holds(got, count, &other));
	assert_int_equal(announce_list(&all, 1, NULL, got, MAX), 1);
	// Too many pieces: it is left out rather than half said.
	assert_int_equal(announce_list(&all, 1, &site, got, 8), 0);
}

static struct prefix random_prefix(void)
{
	struct prefix value = {.addr.family = AF_INET, .length = (uint8_t)(8 + rand() % 10)};
	value.addr.bytes[0] = 10;
	value.addr.bytes[1] = (uint8_t)(rand() % 32);
	value.addr.bytes[2] = (uint8_t)rand();
	value.length = (uint8_t)(value.length + 4);
	return prefix_masked(&value);
}

static void says_the_same_of_every_address(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct prefix nets[SITES][NETS], got[1024];
		struct admit_peer sites[SITES] = {0};
		struct prefix routes[3];
		for (unsigned i = 0; i < SITES; i++) {
			for (unsigned j = 0; j < NETS; j++)
				nets[i][j] = random_prefix();
			qsort(nets[i], NETS, sizeof(nets[i][0]), compare);
			sites[i] = (struct admit_peer){
				.identity = "x", .networks = nets[i], .network_count = NETS};
		}
		for (unsigned i = 0; i < 3; i++)
			routes[i] = random_prefix();
		struct announce_options options = {NULL, 0, routes, 3, sites, SITES};
		_cleanup_(announce_freep) struct announce *announce = announce_new(&options, 1024);
		for (unsigned who = 0; who <= SITES; who++) {
			const struct admit_peer *peer = who < SITES ? &sites[who] : NULL;
			unsigned count = announce_to(announce, peer, got);
			for (unsigned i = 0; i < 300; i++) {
				struct addr addr = {AF_INET,
						    {10, (uint8_t)(rand() % 32), (uint8_t)rand(),
						     (uint8_t)rand()}};
				bool wanted = holds(routes, 3, &addr);
				for (unsigned j = 0; j < SITES; j++)
					wanted |= holds(nets[j], NETS, &addr);
				if (peer && holds(peer->networks, NETS, &addr))
					wanted = false;
				assert_int_equal(holds(got, count, &addr), wanted);
			}
		}
	}
}

// Prefixes that cannot be joined: the site with the most is left out, and says so.
static void leaves_out_what_does_not_fit(void **state)
{
	struct prefix many[MAX + 1], few[2] = {prefix("10.1.0.0/24"), prefix("10.1.2.0/24")},
				     got[MAX];
	struct admit_peer sites[2] = {
		{.identity = "a", .networks = many, .network_count = MAX + 1},
		{.identity = "b", .networks = few, .network_count = 2},
	};
	struct announce_options options = {NULL, 0, NULL, 0, sites, 2};
	struct prefix cover = prefix("10.2.0.0/16");
	(void)state;
	for (unsigned i = 0; i <= MAX; i++) {
		many[i] = prefix("10.2.0.0/24");
		many[i].addr.bytes[2] = (uint8_t)(2 * i);
	}
	struct announce *announce = announce_new(&options, MAX);
	assert_int_equal(announce_left_out(announce), 1);
	assert_int_equal(announce_to(announce, NULL, got), 2);
	assert_true(lists(got, 2, "10.1.0.0/24") && lists(got, 2, "10.1.2.0/24"));
	announce_free(announce);
	options.routes = &cover;
	options.route_count = 1;
	announce = announce_new(&options, MAX);
	assert_int_equal(announce_left_out(announce), 0);
	assert_int_equal(announce_to(announce, NULL, got), 3);
	announce_free(announce);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(joins_what_says_the_same),
		cmocka_unit_test(cuts_around_what_is_translated),
		cmocka_unit_test(says_the_same_of_every_address),
		cmocka_unit_test(leaves_out_what_does_not_fit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
