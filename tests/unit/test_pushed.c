// SPDX-License-Identifier: Apache-2.0
// What no gateway may push, and which of its routes are taken, on a host of the test's own.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "client/pushed.c"
#include "unit/net_fixture.h"

static struct pushed pushed;
static struct claims *claims;

static int judge_of(const char *address, const char *other, const char *route, struct error *error)
{
	struct message_config config = {.mtu = 1400};
	struct prefix routes[1];
	if (address)
		config.addresses[config.address_count++] = net_prefix(address);
	if (other)
		config.addresses[config.address_count++] = net_prefix(other);
	if (route)
		routes[config.route_count++] = net_prefix(route);
	config.routes = routes;
	return judge(&pushed, &config, error);
}

static void set_up(struct net *net)
{
	struct dataplane_options options = {.workers = 0, .mtu = 1400};
	pushed = (struct pushed){.link = "hq", .host = net_host(net), .mtu = 1400};
	pushed.claims = claims = claims_new();
	pushed.dns = dns_new(net->event, host_interface_index(pushed.host), "mutun0");
	assert_non_null(pushed.claims);
	assert_non_null(pushed.dns);
	assert_int_equal(dataplane_new(&options, &pushed.dataplane, NULL), 0);
	pushed.apply = apply_new(pushed.host, dataplane_guard(pushed.dataplane));
	assert_non_null(pushed.apply);
}

static void tear_down(struct net *net)
{
	dns_free(pushed.dns);
	apply_free(pushed.apply);
	claims_free(claims);
	dataplane_free(pushed.dataplane);
	host_free(pushed.host);
	net_assert_clean(net);
}

static void refuses_addresses(void **state)
{
	static const char *const bad[] = {
		"0.0.0.0/0",	"0.1.2.3/32",
		"127.0.0.1/8",	"127.9.9.9/32",
		"::1/128",	"::/0",
		"224.0.0.5/32", "239.255.255.255/32",
		"ff02::1/64",	"255.255.255.255/32",
		"240.0.0.1/32", "169.254.1.1/16",
		"fe80::1/64",	"::ffff:10.0.0.1/128",
	};
	struct error error;
	set_up(*state);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(judge_of(bad[i], NULL, NULL, &error), -EPROTO);
		assert_non_null(strstr(error.what, "no node may own"));
		assert_int_equal(judge_of("10.90.0.2/32", bad[i], NULL, &error), -EPROTO);
	}
	assert_int_equal(judge_of("10.90.0.2/32", "10.90.0.2/16", NULL, &error), -EPROTO);
	assert_non_null(strstr(error.what, "twice"));
	assert_int_equal(judge_of("10.90.0.2/32", "fd90::2/128", "0.0.0.0/0", &error), 0);
	tear_down(*state);
}

static void refuses_routes(void **state)
{
	static const char *const bad[] = {
		"127.0.0.0/8",	      "127.0.0.1/32",	"224.0.0.0/4", "255.255.255.255/32",
		"0.0.0.0/8",	      "::1/128",	"fe80::/64",   "ff00::/8",
		"::ffff:0:0/96",      "169.254.0.0/16", "::/128",      "ff02::1/128",
		"::ffff:1.0.0.0/104",
	};
	static const char *const good[] = {"0.0.0.0/0", "::/0",	      "0.0.0.0/1", "128.0.0.0/1",
					   "8000::/1",	"10.0.0.0/8", "2000::/3"};
	struct error error;
	set_up(*state);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(judge_of("10.90.0.2/32", NULL, bad[i], &error), -EPROTO);
		assert_non_null(strstr(error.what, "where nobody is"));
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(judge_of("10.90.0.2/32", NULL, good[i], &error), 0);
	tear_down(*state);
}

// An address of another interface would be taken away with the link; one that a link brought is ours.
static void refuses_what_the_host_has(void **state)
{
	struct prefix own = net_prefix("10.90.0.2/32");
	struct error error;
	set_up(*state);
	free(net_run("ip address add 192.0.2.7/24 dev lo"));
	assert_int_equal(judge_of("192.0.2.7/32", NULL, NULL, &error), -EPROTO);
	assert_non_null(strstr(error.what, "another interface"));
	assert_int_equal(judge_of("192.0.2.8/32", NULL, NULL, &error), 0);
	assert_int_equal(apply_set(pushed.apply, "lab", &own, 1, NULL, 0, &error), 0);
	assert_int_equal(judge_of("10.90.0.2/32", NULL, NULL, &error), 0);
	apply_clear(pushed.apply, "lab");
	free(net_run("ip address del 192.0.2.7/24 dev lo"));
	tear_down(*state);
}

#define SITE "10.30.0.0/16"
#define POOL "10.90.0.0/16"

static struct session *begin(const char *identity)
{
	struct session *session;
	assert_int_equal(session_new(pushed.dataplane, true, identity, NULL, 15, &session), 0);
	return session;
}

static void claim(const char *network, const char *behind)
{
	struct prefix peers[] = {net_prefix(POOL), net_prefix(network)};
	struct prefix own = net_prefix(behind);
	struct claim_list list = {peers, 2, &own, 1};
	assert_int_equal(claims_set(claims, &list), 0);
}

static void push(struct session *session, const char *const *routes, unsigned count)
{
	struct message_config config = {.mtu = 1400, .route_count = count, .address_count = 1};
	struct prefix prefixes[8];
	struct error error;
	config.addresses[0] = net_prefix("10.91.0.7/32");
	for (unsigned i = 0; i < count; i++)
		prefixes[i] = net_prefix(routes[i]);
	config.routes = prefixes;
	assert_int_equal(pushed_set(&pushed, session, &config, &error), 0);
}

static bool is_in(const char *route)
{
	struct prefix prefix = net_prefix(route);
	char command[128];
	bool listed = false;
	for (unsigned i = 0; i < pushed.route_count; i++)
		listed |= prefix_equal(&pushed.routes[i], &prefix);
	snprintf(command, sizeof(command), "ip route show table %u exact %s", NET_TABLE, route);
	assert_int_equal(net_says(command, "mutun0"), listed);
	assert_int_equal(routes_owner(dataplane_routes(pushed.dataplane), &prefix) != NULL, listed);
	return listed;
}

static const char *why(const char *route)
{
	static char text[PUSHED_TEXT_MAX];
	struct prefix prefix = net_prefix(route);
	for (unsigned i = 0; i < pushed.refused_count; i++)
		if (prefix_equal(&pushed.refused[i].route, &prefix))
			return pushed_words(&pushed.refused[i], text);
	return "";
}

// Everything that a site's traffic would go to the gateway by.
static const char *const greedy[] = {"10.30.5.0/24", "10.0.0.0/8",     "10.30.0.0/16",
				     "10.90.0.9/32", "10.20.0.128/25", "10.40.0.0/16"};
#define GREEDY (sizeof(greedy) / sizeof(greedy[0]))

static void takes_nothing_from_peers(void **state)
{
	set_up(*state);
	struct session *session = begin("spiffe://corp.example/gateway/hq");
	claim(SITE, "10.20.0.0/24");
	push(session, greedy, GREEDY);
	assert_false(is_in("10.30.5.0/24"));
	assert_false(is_in("10.30.0.0/16"));
	assert_false(is_in("10.90.0.9/32"));
	assert_false(is_in("10.20.0.128/25"));
	assert_true(is_in("10.0.0.0/8"));
	assert_true(is_in("10.40.0.0/16"));
	assert_int_equal(pushed.refused_count, 4);
	assert_non_null(strstr(why("10.30.5.0/24"), SITE));
	session_free(session);
	pushed_clear(&pushed);
	assert_int_equal(pushed.refused_count, 0);
	tear_down(*state);
}

static void takes_what_accept_names(void **state)
{
	// Only the first is within what the site has, and names a part of it.
	struct prefix accept[] = {net_prefix("10.30.5.0/24"), net_prefix("10.0.0.0/8")};
	set_up(*state);
	struct session *session = begin("spiffe://corp.example/gateway/hq");
	claim(SITE, "10.20.0.0/24");
	pushed.accept = accept;
	pushed.accept_count = 2;
	push(session, greedy, GREEDY);
	assert_true(is_in("10.30.5.0/24"));
	assert_false(is_in("10.30.0.0/16"));
	assert_false(is_in("10.90.0.9/32"));
	assert_false(is_in("10.20.0.128/25"));
	assert_true(is_in("10.0.0.0/8"));
	pushed.accept_count = 1;
	push(session, greedy, GREEDY);
	assert_false(is_in("10.0.0.0/8"));
	assert_non_null(strstr(why("10.0.0.0/8"), "not accepted"));
	session_free(session);
	pushed_clear(&pushed);
	tear_down(*state);
}

// A site that is declared later is not undermined by what was taken before.
static void gives_back_what_is_claimed_later(void **state)
{
	struct error error;
	set_up(*state);
	struct session *session = begin("spiffe://corp.example/gateway/hq");
	claim("10.50.0.0/16", "10.20.0.0/24");
	push(session, greedy, GREEDY);
	assert_true(is_in("10.30.5.0/24"));
	assert_true(is_in("10.30.0.0/16"));
	claim(SITE, "10.20.0.0/24");
	assert_int_equal(pushed_judge(&pushed, session, &error), 0);
	assert_false(is_in("10.30.5.0/24"));
	assert_false(is_in("10.30.0.0/16"));
	assert_true(is_in("10.0.0.0/8"));
	claim("10.50.0.0/16", "10.20.0.0/24");
	assert_int_equal(pushed_judge(&pushed, session, &error), 0);
	assert_true(is_in("10.30.5.0/24"));
	assert_true(is_in("10.30.0.0/16"));
	session_free(session);
	pushed_clear(&pushed);
	tear_down(*state);
}

// Nor is a peer that is declared later hidden behind an address of this node's.
static void keeps_no_address_that_is_claimed_later(void **state)
{
	struct prefix accept = net_prefix("10.91.0.0/24");
	struct error error;
	set_up(*state);
	struct session *session = begin("spiffe://corp.example/gateway/hq");
	claim(SITE, "10.91.0.0/16");
	push(session, greedy, GREEDY);
	assert_int_equal(pushed_judge(&pushed, session, &error), 0);
	claim("10.91.0.0/16", "10.20.0.0/24");
	assert_int_equal(pushed_judge(&pushed, session, &error), -EPROTO);
	assert_non_null(strstr(error.what, "10.91.0.7"));
	pushed.offered_count = 0;
	assert_int_equal(pushed_judge(&pushed, session, &error), -EPROTO);
	pushed.accept = &accept;
	pushed.accept_count = 1;
	assert_int_equal(pushed_judge(&pushed, session, &error), 0);
	session_free(session);
	pushed_clear(&pushed);
	tear_down(*state);
}

static void refuses_addresses_of_peers(void **state)
{
	struct prefix accept = net_prefix("10.90.0.2/32");
	struct error error;
	set_up(*state);
	claim(SITE, "10.20.0.0/24");
	assert_int_equal(judge_of("10.90.0.2/32", NULL, NULL, &error), -EPROTO);
	assert_non_null(strstr(error.what, "own gateway"));
	assert_int_equal(judge_of("10.30.7.7/32", NULL, NULL, &error), -EPROTO);
	// What is behind this node may be handed out there.
	assert_int_equal(judge_of("10.20.0.7/32", NULL, NULL, &error), 0);
	pushed.accept = &accept;
	pushed.accept_count = 1;
	assert_int_equal(judge_of("10.90.0.2/32", NULL, NULL, &error), 0);
	tear_down(*state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(refuses_addresses, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(refuses_routes, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(refuses_what_the_host_has, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(takes_nothing_from_peers, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(takes_what_accept_names, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(gives_back_what_is_claimed_later, net_setup,
						net_teardown),
		cmocka_unit_test_setup_teardown(keeps_no_address_that_is_claimed_later, net_setup,
						net_teardown),
		cmocka_unit_test_setup_teardown(refuses_addresses_of_peers, net_setup,
						net_teardown),
	};
	if (!net_possible())
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
