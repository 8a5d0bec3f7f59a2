// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "base/error.h"
#include "server/admit.h"
#include "server/lease.h"

#define WHO(name) (&(struct filter_peer){.identity = (name)})
#define NOW	  1800000000
#define POOL_ROOM 1u
#define ALICE	  "spiffe://corp.example/laptop/alice"
#define BOB	  "spiffe://corp.example/laptop/bob"
#define BRANCH	  "spiffe://corp.example/site/branch"
#define DEPOT	  "spiffe://corp.example/site/depot"

static const char *const patterns[] = {"spiffe://corp.example/laptop/*", BRANCH, DEPOT};
static struct prefix pool, behind, branch_networks[2], depot_network, branch_address;
static struct admit_peer peers[2];
static struct admit_options options;
static struct leases *leases;

static struct prefix prefix(const char *text)
{
	struct prefix value;
	assert_int_equal(prefix_parse(text, &value), 0);
	return value;
}

static void announce_all(void)
{
	struct announce_options all = {
		.pools = options.pools,
		.pool_count = options.pool_count,
		.routes = options.routes,
		.route_count = options.route_count,
		.peers = options.peers,
		.peer_count = options.peer_count,
	};
	announce_free((struct announce *)options.announce);
	options.announce = announce_new(&all, MESSAGE_ROUTES_MAX);
	assert_non_null(options.announce);
}

static int set_up(void **state)
{
	static struct lease_fixed fixed;
	(void)state;
	pool = prefix("10.90.0.0/30"); // the gateway's own address and one more
	behind = prefix("192.0.2.0/24");
	branch_networks[0] = prefix("10.1.0.0/16");
	branch_networks[1] = prefix("fd01::/48");
	depot_network = prefix("10.2.0.0/16");
	branch_address = prefix("10.91.0.7/32");
	peers[0] = (struct admit_peer){
		.identity = BRANCH,
		.addresses = &branch_address,
		.address_count = 1,
		.networks = branch_networks,
		.network_count = 2,
	};
	peers[1] = (struct admit_peer){
		.identity = DEPOT,
		.networks = &depot_network,
		.network_count = 1,
	};
	options = (struct admit_options){
		.patterns = patterns,
		.pattern_count = 3,
		.pools = &pool,
		.pool_count = 1,
		.routes = &behind,
		.route_count = 1,
		.peers = peers,
		.peer_count = 2,
		.common = {.pools = &pool, .pool_count = 1},
	};
	announce_all();
	fixed = (struct lease_fixed){BRANCH, &branch_address, 1};
	struct lease_options lease_options = {
		.pools = &pool,
		.pool_count = 1,
		.fixed = &fixed,
		.fixed_count = 1,
	};
	return leases_open(&lease_options, &leases, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	leases = leases_close(leases);
	announce_free((struct announce *)options.announce);
	options.announce = NULL;
	return 0;
}

static bool pushes(const struct grant_routes *routes, const char *text)
{
	struct prefix wanted = prefix(text);
	for (unsigned i = 0; i < routes->count; i++)
		if (prefix_equal(&routes->prefixes[i], &wanted))
			return true;
	return false;
}

static void admits_by_pattern(void **state)
{
	(void)state;
	assert_true(admit_allows(&options, ALICE));
	assert_true(admit_allows(&options, BRANCH));
	assert_false(admit_allows(&options, "spiffe://corp.example/site/other"));
	assert_false(admit_allows(&options, "spiffe://other.example/laptop/alice"));
	assert_false(admit_allows(&options, "spiffe://corp.example/LAPTOP/alice"));
	options.pattern_count = 0;
	assert_false(admit_allows(&options, ALICE));
}

static void refuses_in_words(void **state)
{
	struct grant grant;
	struct grant_routes routes;
	struct error error = {0};

	(void)state;
	assert_int_equal(
		admit_grant(&options, leases, WHO("spiffe://a/b"), NOW, &grant, &routes, &error),
		-EACCES);
	assert_int_equal(error.code, EACCES);
	assert_string_equal(error.what, "identity spiffe://a/b is not admitted here");
	assert_non_null(strstr(error.remedy, "gateway.admit"));
}

static void grants_an_address_and_all_routes(void **state)
{
	struct grant grant;
	struct grant_routes routes;

	(void)state;
	assert_int_equal(admit_grant(&options, leases, WHO(ALICE), NOW, &grant, &routes, NULL), 0);
	assert_int_equal(grant.address_count, 1);
	assert_int_equal(grant.addresses[0].length, 32);
	assert_true(prefix_contains(&pool, &grant.addresses[0].addr));
	assert_null(grant.peer);
	assert_int_equal(routes.count, 5);
	assert_true(pushes(&routes, "10.90.0.0/30"));
	assert_true(pushes(&routes, "192.0.2.0/24"));
	assert_true(pushes(&routes, "10.1.0.0/16"));
	assert_true(pushes(&routes, "fd01::/48"));
	assert_true(pushes(&routes, "10.2.0.0/16"));
}

static void a_site_gets_no_route_to_itself(void **state)
{
	struct grant grant;
	struct grant_routes routes;

	(void)state;
	assert_int_equal(admit_grant(&options, leases, WHO(BRANCH), NOW, &grant, &routes, NULL), 0);
	assert_ptr_equal(grant.peer, &peers[0]);
	assert_int_equal(grant.address_count, 1);
	assert_true(prefix_equal(&grant.addresses[0], &branch_address));
	assert_int_equal(routes.count, 3);
	assert_false(pushes(&routes, "10.1.0.0/16"));
	assert_false(pushes(&routes, "fd01::/48"));
	assert_true(pushes(&routes, "10.2.0.0/16"));
}

static void expect_difference(const char *identity, const struct grant *grant,
			      const uint8_t told[GRANT_DIGEST_SIZE], enum grant_change change,
			      unsigned gained, unsigned lost)
{
	struct grant_difference difference;

	admit_compare(&options, WHO(identity), grant, told, &difference);
	assert_int_equal(difference.change, change);
	assert_int_equal(difference.gained, gained);
	assert_int_equal(difference.lost, lost);
}

static void says_what_other_options_would_change(void **state)
{
	struct grant grant;
	struct grant_routes routes;
	uint8_t told[GRANT_DIGEST_SIZE];

	(void)state;
	assert_int_equal(admit_grant(&options, leases, WHO(ALICE), NOW, &grant, &routes, NULL), 0);
	assert_int_equal(grant_digest(&grant, &routes, told), 0);
	expect_difference(ALICE, &grant, told, GRANT_SAME, 0, 0);
	options.common.mtu = 1300;
	expect_difference(ALICE, &grant, told, GRANT_TOLD, 0, 0);
	options.common.mtu = 0;
	options.route_count = 0;
	announce_all();
	expect_difference(ALICE, &grant, told, GRANT_TOLD, 0, 0);
	options.route_count = 1;
	announce_all();
	pool = prefix("10.99.0.0/24");
	expect_difference(ALICE, &grant, told, GRANT_MOVED, 0, 0);
	options.common.pool_count = 0; // it would have no address any more
	expect_difference(ALICE, &grant, told, GRANT_MOVED, 0, 0);
	options.pattern_count = 0;
	expect_difference(ALICE, &grant, told, GRANT_ENDED, 0, 0);
}

static void says_how_networks_would_move(void **state)
{
	struct prefix other[] = {prefix("10.1.0.0/16"), prefix("10.7.0.0/16"),
				 prefix("10.8.0.0/16")};
	struct admit_peer next[] = {peers[0], peers[1]};
	struct grant grant;
	struct grant_routes routes;
	uint8_t told[GRANT_DIGEST_SIZE];

	(void)state;
	assert_int_equal(admit_grant(&options, leases, WHO(BRANCH), NOW, &grant, &routes, NULL), 0);
	assert_int_equal(grant_digest(&grant, &routes, told), 0);
	expect_difference(BRANCH, &grant, told, GRANT_SAME, 0, 0);
	next[0].networks = other;
	next[0].network_count = 3;
	options.peers = next;
	announce_all();
	expect_difference(BRANCH, &grant, told, GRANT_SAME, 2, 1);
	next[0].address_count = 0; // it gets one of the pool
	expect_difference(BRANCH, &grant, told, GRANT_MOVED, 2, 1);
	options.peer_count = 0;
	expect_difference(BRANCH, &grant, told, GRANT_MOVED, 0, 2);
}

static void a_profile_decides_what_it_sets(void **state)
{
	struct rule_peer laptop = {.identity = "spiffe://corp.example/laptop/*"};
	struct rule_peer alice_unit[] = {{.identity = BOB, .unit = "Build"}, {.identity = ALICE}};
	struct rule_group laptops = {.peers = &laptop, .peer_count = 1};
	struct rule_group alice = {.peers = alice_unit, .peer_count = 2};
	static const char *const corp[] = {"corp.example"};
	static const char *const everywhere[] = {"lab.example", "corp.example"};
	struct prefix all = prefix("0.0.0.0/0"), server = prefix("10.20.0.53/32");
	struct profile profiles[] = {
		{.groups = &alice, .group_count = 1, .routes = &all, .route_count = 1, .mtu = 1300},
		{.groups = &laptops,
		 .group_count = 1,
		 .routes = &behind,
		 .route_count = 1,
		 .rate = 5000000,
		 .domains = everywhere,
		 .domain_count = 2},
	};
	struct grant grant;
	struct grant_routes routes;

	(void)state;
	options.profiles = profiles;
	options.profile_count = 2;
	options.common.servers = &server;
	options.common.server_count = 1;
	options.common.domains = corp;
	options.common.domain_count = 1;
	assert_int_equal(admit_grant(&options, leases, WHO(ALICE), NOW, &grant, &routes, NULL), 0);
	assert_int_equal(routes.count, 1);
	assert_true(pushes(&routes, "0.0.0.0/0"));
	assert_int_equal(grant.mtu, 1300);
	assert_int_equal(grant.rate, 5000000);
	assert_int_equal(routes.push.rate, 5000000);
	assert_int_equal(routes.push.server_count, 0); // domains are set without servers
	assert_int_equal(routes.push.domain_count, 2);
	lease_release(leases, ALICE, NOW);
	assert_int_equal(admit_grant(&options, leases, WHO(BOB), NOW, &grant, &routes, NULL), 0);
	assert_int_equal(routes.count, 2);
	assert_true(pushes(&routes, "10.90.0.0/30") && pushes(&routes, "192.0.2.0/24"));
	assert_int_equal(grant.mtu, 0);
	assert_int_equal(admit_grant(&options, leases, WHO(BRANCH), NOW, &grant, &routes, NULL), 0);
	assert_int_equal(routes.count, 3);
	assert_int_equal(grant.rate, 0);
	assert_int_equal(routes.push.server_count, 1);
	assert_true(addr_equal(&routes.push.servers[0], &server.addr));
	assert_string_equal(routes.push.domains[0], "corp.example");
}

static void a_full_pool_refuses(void **state)
{
	struct grant grant;
	struct grant_routes routes;
	unsigned granted = 0;
	char identity[64];

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct error error = {0};
		snprintf(identity, sizeof(identity), "spiffe://corp.example/laptop/n%u", i);
		int r = admit_grant(&options, leases, WHO(identity), NOW, &grant, &routes, &error);
		granted += r == 0;
		if (r < 0)
			assert_int_equal(error.code, ENOSPC);
	}
	assert_int_equal(granted, POOL_ROOM);
	lease_release(leases, "spiffe://corp.example/laptop/n0", NOW + 1);
	assert_int_equal(admit_grant(&options, leases, WHO(ALICE), NOW + 2, &grant, &routes, NULL),
			 0);
}

static void a_digest_stands_for_addresses_and_routes(void **state)
{
	struct grant grant;
	struct grant_routes routes;
	uint8_t first[GRANT_DIGEST_SIZE], other[GRANT_DIGEST_SIZE];

	(void)state;
	assert_int_equal(admit_grant(&options, leases, WHO(ALICE), NOW, &grant, &routes, NULL), 0);
	assert_int_equal(grant_digest(&grant, &routes, first), 0);
	assert_int_equal(admit_grant(&options, leases, WHO(ALICE), NOW + 1, &grant, &routes, NULL),
			 0);
	assert_int_equal(grant_digest(&grant, &routes, other), 0);
	assert_memory_equal(first, other, sizeof(first)); // sticky
	grant.addresses[0].addr.bytes[3] ^= 1;
	assert_int_equal(grant_digest(&grant, &routes, other), 0);
	assert_memory_not_equal(first, other, sizeof(first));
	grant.addresses[0].addr.bytes[3] ^= 1;
	routes.prefixes[routes.count - 1].length--;
	assert_int_equal(grant_digest(&grant, &routes, other), 0);
	assert_memory_not_equal(first, other, sizeof(first));
	routes.prefixes[routes.count - 1].length++;
	routes.count--;
	assert_int_equal(grant_digest(&grant, &routes, other), 0);
	assert_memory_not_equal(first, other, sizeof(first));
	routes.count++;
	routes.push.rate = 1;
	assert_int_equal(grant_digest(&grant, &routes, other), 0);
	assert_memory_not_equal(first, other, sizeof(first));
	routes.push.rate = 0;
	grant.mtu = 1300;
	assert_int_equal(grant_digest(&grant, &routes, other), 0);
	assert_memory_not_equal(first, other, sizeof(first));
	grant.mtu = 0;
	assert_int_equal(grant_digest(&grant, &routes, other), 0);
	assert_memory_equal(first, other, sizeof(first));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(admits_by_pattern),
		CASE(refuses_in_words),
		CASE(grants_an_address_and_all_routes),
		CASE(a_site_gets_no_route_to_itself),
		CASE(says_what_other_options_would_change),
		CASE(says_how_networks_would_move),
		CASE(a_profile_decides_what_it_sets),
		CASE(a_full_pool_refuses),
		CASE(a_digest_stands_for_addresses_and_routes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
