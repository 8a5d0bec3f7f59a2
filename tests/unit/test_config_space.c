// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "daemon/config.h"
#include "daemon/config_report.h"
#include "unit/config_text.h"

#define PROFILE(text) GATEWAY "profiles = ( { for = [\"spiffe://d/x\"]; " text " } ); };"
#define METRIC(name, prefix, metric)                                                            \
	"\n{ identity = \"spiffe://d/" name "\"; networks = [\"" prefix "\"]; metric = " metric \
	"; }"
#define TRANSLATE(from, to)                                                              \
	GATEWAY "sites = ( { identity = \"spiffe://d/a\"; networks = [\"10.1.0.0/16\", " \
		"\"fd01::/48\"];\ntranslate = ( { from = \"" from "\"; to = \"" to       \
		"\"; } ); } ); };"

static void test_overlaps(void **state)
{
	static const struct wrong wrong[] = {
		{NODE "gateway: { listen = [\"0.0.0.0:443\"];\n"
		      "pools = [\"10.90.1.0/24\", \"fd90::/64\",\n\"10.90.0.0/16\"]; };",
		 "/etc/m.conf:4: gateway.pools[2]",
		 "10.90.0.0/16 overlaps 10.90.1.0/24 at /etc/m.conf:3", "overlap nothing", NULL},
		{NODE "gateway: { listen = [\"0.0.0.0:443\"]; pools = [\"10.90.0.0/31\"]; };",
		 "/etc/m.conf:2: gateway.pools[0]", "10.90.0.0/31", "from /8 to /30", NULL},
		{NODE "gateway: { listen = [\"0.0.0.0:443\"]; pools = [\"0.0.0.0/0\"]; };",
		 "/etc/m.conf:2: gateway.pools[0]", "0.0.0.0/0", "from /8 to /30", NULL},
		{NODE "gateway: { listen = [\"0.0.0.0:443\"]; pools = [\"fd90::/127\"]; };",
		 "/etc/m.conf:2: gateway.pools[0]", "fd90::/127", "from /8 to /126", NULL},
		{NODE "gateway: { listen = [\"0.0.0.0:443\"]; pools = [\"224.1.0.0/16\"]; };",
		 "/etc/m.conf:2: gateway.pools[0]", "no peer can have an address of 224.1.0.0/16",
		 "unicast", NULL},
		{NODE GATEWAY "sites = (" SITE("a", "10.90.4.0/24") "); };",
		 "/etc/m.conf:3: gateway.sites[0].networks[0]",
		 "10.90.4.0/24 overlaps 10.90.0.0/16 at /etc/m.conf:2", "overlap nothing", NULL},
		{NODE GATEWAY "sites = (" SITE("a", "10.0.0.0/8") "); };",
		 "/etc/m.conf:3: gateway.sites[0].networks[0]", "10.0.0.0/8 overlaps 10.90.0.0/16",
		 "overlap nothing", NULL},
		{NODE GATEWAY
		 "sites = (" SITE("a", "10.1.0.0/16") "," SITE("b", "10.1.0.0/16") "); };",
		 "/etc/m.conf:4: gateway.sites[1].networks[0]",
		 "10.1.0.0/16 overlaps 10.1.0.0/16 at /etc/m.conf:3", "different metrics", NULL},
		{NODE GATEWAY
		 "clients = (" CLIENT("a", "10.1.0.1") "," CLIENT("b", "10.1.0.1") "); };",
		 "/etc/m.conf:4: gateway.clients[1].addresses[0]",
		 "10.1.0.1/32 overlaps 10.1.0.1/32 at /etc/m.conf:3", "nobody else", NULL},
		{NODE GATEWAY "clients = (" CLIENT("a", "10.1.0.1\", \"10.1.0.1") "); };",
		 "/etc/m.conf:3: gateway.clients[0].addresses[1]", "10.1.0.1/32 overlaps",
		 "nobody else", NULL},
		{NODE GATEWAY "clients = (" CLIENT("a", "10.90.0.1") "); };",
		 "/etc/m.conf:3: gateway.clients[0].addresses[0]",
		 "10.90.0.1/32 overlaps 10.90.0.0/16 at /etc/m.conf:2", "the gateway's own", NULL},
		{NODE GATEWAY
		 "sites = (" SITE("a", "10.1.0.0/16") ");\n"
						      "clients = (" CLIENT("b", "10.1.0.1") "); };",
		 "/etc/m.conf:5: gateway.clients[0].addresses[0]",
		 "10.1.0.1/32 overlaps 10.1.0.0/16 at /etc/m.conf:3", "outside of the networks",
		 NULL},
	};
	(void)state;
	CHECK_WRONG(wrong);
	// The same identity may have all of these.
	config_put(parse(NODE GATEWAY "sites = (" SITE(
		"a", "10.1.0.0/16\", \"10.1.2.0/24") ");\n"
						     "clients = (" CLIENT(
							     "a",
							     "10.1.2.1\", \"10.90.0.2") "); };"));
}

// A longer prefix, or another metric, says who has it.
static void test_sites_that_share(void **state)
{
	(void)state;
	config_put(parse(NODE GATEWAY "sites = (" SITE("a", "10.1.2.0/24") "," SITE(
		"b", "10.1.0.0/16") "); };"));
	struct config *config =
		parse(NODE GATEWAY "sites = (" METRIC("a", "10.1.0.0/16", "5") "," METRIC(
			"b", "10.1.0.0/16", "0") "," METRIC("c", "10.1.0.0/16", "6") "); };");
	assert_int_equal(config->gateway.peers[0].metric, 5);
	assert_int_equal(config->gateway.peers[1].metric, 0);
	config_put(config);
}

static void test_nobody_is_there(void **state)
{
	static const char *const special[] = {
		"127.0.0.0/8", "127.1.0.0/16", "0.0.0.0/8",	"224.0.0.0/4", "255.255.255.255/32",
		"::1/128",     "fe80::/10",    "::ffff:0:0/96", "ff02::/16",   "169.254.0.0/16",
	};
	char text[1024];
	(void)state;
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
		const struct wrong networks[] = {{text,
						  "/etc/m.conf:3: gateway.sites[0].networks[0]",
						  "nobody is behind", "not wholly", NULL}};
		snprintf(text, sizeof(text), NODE GATEWAY "sites = (" SITE("a", "%s") "); };",
			 special[i]);
		CHECK_WRONG(networks);
		const struct wrong routes[] = {{text,
						"/etc/m.conf:3: gateway.profiles[0].routes[0]",
						"nobody is behind", "not wholly", NULL}};
		snprintf(text, sizeof(text), NODE PROFILE("routes = [\"%s\"];"), special[i]);
		CHECK_WRONG(routes);
	}
	config_put(parse(NODE PROFILE("routes = [\"0.0.0.0/0\", \"::/0\"];")));
}

static void test_profiles(void **state)
{
	static const struct wrong wrong[] = {
		{NODE PROFILE("pools = [\"10.90.4.0/24\"];"),
		 "/etc/m.conf:3: gateway.profiles[0].pools[0]",
		 "10.90.4.0/24 overlaps 10.90.0.0/16 at /etc/m.conf:2", "overlap nothing", NULL},
		{NODE PROFILE("pools = [\"10.91.0.0/31\"];"),
		 "/etc/m.conf:3: gateway.profiles[0].pools[0]", "10.91.0.0/31", "/30", NULL},
		{NODE PROFILE("mtu = 1279;"), "/etc/m.conf:3: gateway.profiles[0].mtu",
		 "found the integer 1279", "1280 to 65000", NULL},
		{NODE PROFILE("bandwidth = \"50 Mbit\";"),
		 "/etc/m.conf:3: gateway.profiles[0].bandwidth", "50 Mbit", "\"50 Mbit/s\"", NULL},
		{NODE PROFILE("bandwidth = \"63 kbit/s\";"),
		 "/etc/m.conf:3: gateway.profiles[0].bandwidth", "63", "64 kbit/s to", NULL},
		{NODE PROFILE("bandwidth = \"18446744073709551617 Gbit/s\";"),
		 "/etc/m.conf:3: gateway.profiles[0].bandwidth", "184", "64 kbit/s to", NULL},
		{NODE PROFILE("bandwidth = 50;"), "/etc/m.conf:3: gateway.profiles[0].bandwidth",
		 "found the integer 50", "64 kbit/s to", NULL},
		{NODE PROFILE("dns = [ ];"), "/etc/m.conf:3: gateway.profiles[0].dns",
		 "found an array", "a group", NULL},
		{NODE PROFILE("dns = { servers = [\"127.0.0.1\"]; };"),
		 "/etc/m.conf:3: gateway.profiles[0].dns.servers[0]", "no peer can have", "10.90",
		 NULL},
		{NODE PROFILE("dns = { domains = [\"corp..example\"]; };"),
		 "/etc/m.conf:3: gateway.profiles[0].dns.domains[0]", "corp..example",
		 "corp.example", NULL},
		{NODE GATEWAY "profiles = ( { for = [\"spiffe://d/x\", \"group:ext\"]; } ); };\n"
			      "policy: { groups: { int = [\"spiffe://d/x\"]; }; };",
		 "/etc/m.conf:3: gateway.profiles[0].for[1]", "there is no \"group:ext\"", NULL,
		 "policy.groups"},
		{NODE GATEWAY "profiles = ( { for = [\"group\"]; } ); };",
		 "/etc/m.conf:3: gateway.profiles[0].for[0]", "found the string \"group\"",
		 "\"group:NAME\"", NULL},
		{NODE GATEWAY "profiles = ( { mtu = 1300; } ); };",
		 "/etc/m.conf:3: gateway.profiles[0]", "\"for\" is missing", "an array of", NULL},
	};
	struct config *config;
	(void)state;
	CHECK_WRONG(wrong);
	config = parse(
		NODE GATEWAY
		"dns = { servers = [\"10.20.0.53\"]; domains = [\"corp.example\"]; };\n"
		"profiles = ( { for = [\"spiffe://d/x\", \"spiffe://d/y/*\"]; pools = [\"10.90.0.0/16\", "
		"\"10.91.0.0/16\"]; routes = [\"0.0.0.0/0\"]; mtu = 1300; bandwidth = \"50 Mbit/s\";\n"
		"dns = { domains = [\"a.example\", \"b.example\"]; }; },\n"
		"{ for = [\"spiffe://d/z\"]; } ); };");
	const struct config_gateway *gateway = &config->gateway;
	assert_int_equal(gateway->dns.server_count, 1);
	assert_string_equal(gateway->dns.domains[0], "corp.example");
	assert_int_equal(gateway->profile_count, 2);
	assert_int_equal(gateway->profiles[0].match_count, 2);
	assert_int_equal(gateway->profiles[0].pool_count, 2);
	assert_int_equal(gateway->profiles[0].route_count, 1);
	assert_int_equal(gateway->profiles[0].mtu, 1300);
	assert_int_equal(gateway->profiles[0].bandwidth, 50000000);
	assert_int_equal(gateway->profiles[0].dns.server_count, 0);
	assert_string_equal(gateway->profiles[0].dns.domains[1], "b.example");
	assert_int_equal(gateway->profiles[1].mtu, 65000);
	assert_int_equal(gateway->profiles[1].bandwidth, 0);
	config_put(config);
}

static void test_translations(void **state)
{
	static const struct wrong wrong[] = {
		{NODE TRANSLATE("192.168.1.0/24", "10.1.1.0/25"),
		 "/etc/m.conf:4: gateway.sites[0].translate[0]", "not as large", "one family",
		 NULL},
		{NODE TRANSLATE("192.168.1.0/24", "10.2.1.0/24"),
		 "/etc/m.conf:4: gateway.sites[0].translate[0]", "10.2.1.0/24 is not among",
		 "\"networks\"", NULL},
		{NODE TRANSLATE("127.0.1.0/24", "10.1.1.0/24"),
		 "/etc/m.conf:4: gateway.sites[0].translate[0]", "nobody is behind", "not wholly",
		 NULL},
		{NODE TRANSLATE("192.168.1.0/24", "10.1.1.0/24\"; }, { from = \"192.168.0.0/16\"; "
						  "to = \"10.1.0.0/16"),
		 "/etc/m.conf:4: gateway.sites[0].translate[1]", "overlaps another translation",
		 "each address once", NULL},
	};
	(void)state;
	CHECK_WRONG(wrong);
	struct config *config = parse(NODE TRANSLATE(
		"192.168.1.0/24", "10.1.1.0/24\"; }, { from = \"fd00::/48\"; to = \"fd01::/48"));
	assert_int_equal(config->gateway.peers[0].translation_count, 2);
	assert_int_equal(config->gateway.peers[0].translations[1].to.length, 48);
	config_put(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overlaps),	cmocka_unit_test(test_sites_that_share),
		cmocka_unit_test(test_nobody_is_there), cmocka_unit_test(test_profiles),
		cmocka_unit_test(test_translations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
