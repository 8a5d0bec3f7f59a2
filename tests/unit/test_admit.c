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
	peers[0] = (struct admit_peer){BRANCH, &branch_address, 1, branch_networks, 2};
	peers[1] = (struct admit_peer){DEPOT, NULL, 0, &depot_network, 1};
	options = (struct admit_options){
		.patterns = patterns,
		.pattern_count = 3,
		.pools = &pool,
		.pool_count = 1,
		.routes = &behind,
		.route_count = 1,
		.peers = peers,
		.peer_count = 2,
	};
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
		admit_grant(&options, leases, "spiffe://a/b", NOW, &grant, &routes, &error),
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
	assert_int_equal(admit_grant(&options, leases, ALICE, NOW, &grant, &routes, NULL), 0);
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
	assert_int_equal(admit_grant(&options, leases, BRANCH, NOW, &grant, &routes, NULL), 0);
	assert_ptr_equal(grant.peer, &peers[0]);
	assert_int_equal(grant.address_count, 1);
	assert_true(prefix_equal(&grant.addresses[0], &branch_address));
	assert_int_equal(routes.count, 3);
	assert_false(pushes(&routes, "10.1.0.0/16"));
	assert_false(pushes(&routes, "fd01::/48"));
	assert_true(pushes(&routes, "10.2.0.0/16"));
}

static void a_refusal_holds_no_lease(void **state)
{
	static struct prefix many[MESSAGE_ROUTES_MAX];
	struct grant grant;
	struct grant_routes routes;
	struct error error = {0};

	(void)state;
	for (unsigned i = 0; i < MESSAGE_ROUTES_MAX; i++) {
		many[i] = prefix("172.16.0.0/24");
		many[i].addr.bytes[1] = (uint8_t)(16 + i / 256);
		many[i].addr.bytes[2] = (uint8_t)i;
	}
	options.routes = many;
	options.route_count = MESSAGE_ROUTES_MAX;
	assert_int_equal(admit_grant(&options, leases, ALICE, NOW, &grant, &routes, &error),
			 -ENOSPC);
	assert_string_equal(error.what, "more than 1024 routes to push");
	assert_int_equal(admit_grant(&options, leases, DEPOT, NOW, &grant, &routes, NULL), -ENOSPC);
	options.route_count = 1;
	// The only address of the pool is still there.
	assert_int_equal(admit_grant(&options, leases, BOB, NOW + 1, &grant, &routes, NULL), 0);
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
		int r = admit_grant(&options, leases, identity, NOW, &grant, &routes, &error);
		granted += r == 0;
		if (r < 0)
			assert_int_equal(error.code, ENOSPC);
	}
	assert_int_equal(granted, POOL_ROOM);
	lease_release(leases, "spiffe://corp.example/laptop/n0", NOW + 1);
	assert_int_equal(admit_grant(&options, leases, ALICE, NOW + 2, &grant, &routes, NULL), 0);
}

static void a_digest_stands_for_addresses_and_routes(void **state)
{
	struct grant grant;
	struct grant_routes routes;
	uint8_t first[GRANT_DIGEST_SIZE], other[GRANT_DIGEST_SIZE];

	(void)state;
	assert_int_equal(admit_grant(&options, leases, ALICE, NOW, &grant, &routes, NULL), 0);
	assert_int_equal(grant_digest(&grant, &routes, first), 0);
	assert_int_equal(admit_grant(&options, leases, ALICE, NOW + 1, &grant, &routes, NULL), 0);
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
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(admits_by_pattern),
		CASE(refuses_in_words),
		CASE(grants_an_address_and_all_routes),
		CASE(a_site_gets_no_route_to_itself),
		CASE(a_refusal_holds_no_lease),
		CASE(a_full_pool_refuses),
		CASE(a_digest_stands_for_addresses_and_routes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
