// SPDX-License-Identifier: Apache-2.0
// What no gateway may push, on a host of the test's own.

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
	pushed = (struct pushed){.link = "hq", .host = net_host(net)};
	pushed.apply = apply_new(pushed.host);
	assert_non_null(pushed.apply);
}

static void tear_down(struct net *net)
{
	apply_free(pushed.apply);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(refuses_addresses, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(refuses_routes, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(refuses_what_the_host_has, net_setup, net_teardown),
	};
	if (!net_possible())
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
