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

static void test_types(void **state)
{
	static const struct wrong wrong[] = {
		{NODE LINK "interface: { mtu = \"abc\"; };", "/etc/m.conf:3: interface.mtu",
		 "found the string \"abc\"", "an integer from 1280 to 65000", NULL},
		{NODE LINK "interface: {\n mtu = 1279; };", "/etc/m.conf:4: interface.mtu",
		 "found the integer 1279", "an integer from 1280 to 65000", NULL},
		{NODE LINK "interface: { mtu = 65001; };", "/etc/m.conf:3: interface.mtu",
		 "found the integer 65001", "65000", NULL},
		{NODE LINK "interface: { mtu = 1420.5; };", "/etc/m.conf:3: interface.mtu",
		 "found the number 1420.5", "an integer", NULL},
		{NODE LINK "interface: { mark = 0; };", "/etc/m.conf:3: interface.mark",
		 "integer 0", "an integer from 1 to 4294967295", NULL},
		{NODE LINK "interface: { mtu = true; };", "/etc/m.conf:3: interface.mtu",
		 "found true", "an integer", NULL},
		{NODE LINK "interface: { mtu = [1420]; };", "/etc/m.conf:3: interface.mtu",
		 "found an array", "an integer", NULL},
		{NODE LINK "offload: { tso = 1; };", "/etc/m.conf:3: offload.tso",
		 "found the integer 1", "true or false", NULL},
		{NODE LINK "offload: { gso = true; };", "/etc/m.conf:3: offload.gso",
		 "unknown setting", NULL, "did you mean \"offload.tso\"?"},
		{NODE LINK "interface = 5;", "/etc/m.conf:3: interface", "found the integer 5",
		 "a group", NULL},
		{NODE LINK "log: { level = \"loud\"; };", "/etc/m.conf:3: log.level",
		 "found the string \"loud\"", "\"error\", \"warning\"", NULL},
		{NODE LINK "log: { level = 3; };", "/etc/m.conf:3: log.level",
		 "found the integer 3", "\"error\", \"warning\"", NULL},
		{NODE "links = [ \"hq\" ];", "/etc/m.conf:2: links", "found an array", "a list of",
		 NULL},
		{NODE "links = ( \"hq\" );", "/etc/m.conf:2: links[0]", "found the string \"hq\"",
		 "a group", NULL},
		{NODE LINK "control = { socket = \"\"; };", "/etc/m.conf:3: control.socket",
		 "found the string \"\"", "a path", NULL},
		{NODE LINK GATEWAY "routes = \"10.0.0.0/8\"; };", "/etc/m.conf:4: gateway.routes",
		 "found the string \"10.0.0.0/8\"", "an array of 0 to 256 strings, each a prefix",
		 NULL},
		{NODE LINK GATEWAY "routes = [ 10 ]; };", "/etc/m.conf:4: gateway.routes[0]",
		 "found the integer 10", "a prefix such as", NULL},
		{NODE LINK GATEWAY "admit = [ ]; };", "/etc/m.conf:4: gateway.admit",
		 "found 0 elements", "an array of 1 to 256", NULL},
	};
	(void)state;
	CHECK_WRONG(wrong);
}

static void test_values(void **state)
{
	static const struct wrong wrong[] = {
		{NODE LINK GATEWAY "routes = [ \"10.0.0.0/8\",\n\"10.1.2.3/16\" ]; };",
		 "/etc/m.conf:5: gateway.routes[1]",
		 "found the string \"10.1.2.3/16\": it has host bits set; the prefix is "
		 "\"10.1.0.0/16\"",
		 "a prefix", NULL},
		{NODE LINK GATEWAY "routes = [ \"fd00::1/64\" ]; };",
		 "/etc/m.conf:4: gateway.routes[0]", "the prefix is \"fd00::/64\"", "a prefix",
		 NULL},
		{NODE LINK GATEWAY "routes = [ \"10.0.0.0/33\" ]; };",
		 "/etc/m.conf:4: gateway.routes[0]", "found the string \"10.0.0.0/33\"", "a prefix",
		 NULL},
		{NODE LINK GATEWAY "admit = [ \"spiffe://*/x\" ]; };",
		 "/etc/m.conf:4: gateway.admit[0]",
		 "found the string \"spiffe://*/x\": ", "an identity pattern", NULL},
		{NODE LINK GATEWAY
		 "sites = ( { identity = \"berlin\"; networks = [\"10.1.0.0/16\"]; } ); };",
		 "/etc/m.conf:4: gateway.sites[0].identity",
		 "found the string \"berlin\": ", "an identity such as", NULL},
		{NODE LINK GATEWAY
		 "clients = ( { identity = \"spiffe://d/*\"; addresses = [\"10.1.0.1\"]; } ); };",
		 "/etc/m.conf:4: gateway.clients[0].identity", "found the string",
		 "an identity such as", NULL},
		{NODE LINK GATEWAY
		 "clients = ( { identity = \"spiffe://d/a\"; addresses = [\"10.1.0.1/24\"]; } ); };",
		 "/etc/m.conf:4: gateway.clients[0].addresses[0]",
		 "found the string \"10.1.0.1/24\"", "an address such as", NULL},
		{NODE LINK GATEWAY
		 "clients = ( { identity = \"spiffe://d/a\"; addresses = [\"127.0.0.1\"]; } ); };",
		 "/etc/m.conf:4: gateway.clients[0].addresses[0]", "no peer can have this address",
		 "an address such as", NULL},
		{NODE "gateway: { listen = [\"0.0.0.0:0\"]; pools = [\"10.90.0.0/16\"]; };",
		 "/etc/m.conf:2: gateway.listen[0]", "port 0", "an address with a port", NULL},
		{NODE "gateway: { listen = [\"vpn:443\"]; pools = [\"10.90.0.0/16\"]; };",
		 "/etc/m.conf:2: gateway.listen[0]", "found the string \"vpn:443\"",
		 "an address with a port", NULL},
		{NODE "links = ( { name = \"a\"; to = [\"vpn\"]; identity = \"spiffe://d/g\"; } );",
		 "/etc/m.conf:2: links[0].to[0]", "found the string \"vpn\"", "a name or address",
		 NULL},
		{NODE
		 "links = ( { name = \"a\"; to = [\"vpn:0\"]; identity = \"spiffe://d/g\"; } );",
		 "/etc/m.conf:2: links[0].to[0]", "found the string \"vpn:0\"", "a name or address",
		 NULL},
		{NODE
		 "links = ( { name = \"a\"; to = [\"v n:1\"]; identity = \"spiffe://d/g\"; } );",
		 "/etc/m.conf:2: links[0].to[0]", "found the string \"v n:1\"", "a name or address",
		 NULL},
		{NODE
		 "links = ( { name = \"a b\"; to = [\"v:1\"]; identity = \"spiffe://d/g\"; } );",
		 "/etc/m.conf:2: links[0].name", "found the string \"a b\"", "1 to 32 characters",
		 NULL},
		{NODE "links = ( { name = \"a\"; to = [\"v:1\"]; identity = \"https://d/g\"; } );",
		 "/etc/m.conf:2: links[0].identity",
		 "found the string \"https://d/g\": ", "an identity pattern", NULL},
		{NODE LINK "interface: { name = \"sixteen-chars-xx\"; };",
		 "/etc/m.conf:3: interface.name", "found the string \"sixteen-chars-xx\"",
		 "1 to 15 characters", NULL},
		{NODE LINK "interface: { name = \"a/b\"; };", "/etc/m.conf:3: interface.name",
		 "a/b", "1 to 15 characters", NULL},
		{NODE LINK "interface: { name = \"tun%d\"; };", "/etc/m.conf:3: interface.name",
		 "tun%d", "1 to 15 characters", NULL},
		{NODE LINK "interface: { name = \"..\"; };", "/etc/m.conf:3: interface.name", "..",
		 "1 to 15 characters", NULL},
		{"node: { certificate = \"c\"; key = \"k\"; trust = \"t\";\n"
		 "federation = ( { domain = \"a/b\"; trust = \"t\"; } ); };\n" LINK,
		 "/etc/m.conf:2: node.federation[0].domain", "found the string \"a/b\"",
		 "a trust domain", NULL},
		{"node: { certificate = \"c\"; key = \"k\"; trust = \"t\";\n"
		 "federation = ( { domain = \"\"; trust = \"t\"; } ); };\n" LINK,
		 "/etc/m.conf:2: node.federation[0].domain", "found the string \"\"",
		 "a trust domain", NULL},
	};
	(void)state;
	CHECK_WRONG(wrong);
}

static void test_unknown(void **state)
{
	static const struct wrong wrong[] = {
		{NODE LINK "interface: { mtuu = 5; };", "/etc/m.conf:3: interface.mtuu",
		 "unknown setting", NULL, "did you mean \"interface.mtu\"?"},
		{NODE LINK "mtu = 1300;", "/etc/m.conf:3: mtu", "unknown setting", NULL,
		 "did you mean \"interface.mtu\"?"},
		{NODE LINK "frobnicate: { };", "/etc/m.conf:3: frobnicate", "unknown setting", NULL,
		 "mutun.conf(5)"},
		{NODE "links = ( { name = \"a\"; to = [\"a:1\"]; identity = \"spiffe://d/g\";\n"
		      "identiti = 1; } );",
		 "/etc/m.conf:3: links[0].identiti", "unknown setting", NULL,
		 "did you mean \"links[].identity\"?"},
		{NODE LINK "dns: { };", "/etc/m.conf:3: dns", "unknown setting", NULL,
		 "did you mean"},
		{NODE LINK GATEWAY "dns = { server = [ ]; }; };",
		 "/etc/m.conf:4: gateway.dns.server", "unknown setting", NULL,
		 "did you mean \"gateway.dns.servers\"?"},
		{NODE LINK GATEWAY
		 "profiles = ( { for = [ \"spiffe://d/x\" ];\ndns = { server = [ ]; }; } ); };",
		 "/etc/m.conf:5: gateway.profiles[0].dns.server", "unknown setting", NULL,
		 "did you mean \"gateway.profiles[].dns.servers\"?"},
	};
	(void)state;
	CHECK_WRONG(wrong);
}

static void test_missing(void **state)
{
	static const struct wrong wrong[] = {
		{LINK, "/etc/m.conf", "\"node\" is missing", "a group", NULL},
		{LINK "\nnode: { certificate = \"c\"; key = \"k\"; };", "/etc/m.conf:3: node",
		 "\"trust\" is missing", "a path, absolute", NULL},
		{NODE "gateway: { listen = [\"0.0.0.0:443\"]; };", "/etc/m.conf:2: gateway",
		 "\"pools\" is missing", "an array of 1 to 16 strings, each a prefix", NULL},
		{NODE "links = ( { name = \"a\"; to = [\"a:1\"]; } );", "/etc/m.conf:2: links[0]",
		 "\"identity\" is missing", "an identity pattern", NULL},
		{NODE LINK GATEWAY "sites = ( { identity = \"spiffe://d/s\"; } ); };",
		 "/etc/m.conf:4: gateway.sites[0]", "\"networks\" is missing",
		 "an array of 1 to 262144", NULL},
		{NODE, "/etc/m.conf", "nothing to do: neither \"gateway\" nor \"links\" is set",
		 NULL, "add a group"},
		{NODE "links = ( );", "/etc/m.conf", "nothing to do", NULL, "add a group"},
	};
	(void)state;
	CHECK_WRONG(wrong);
}

static void test_syntax(void **state)
{
	static const struct wrong wrong[] = {
		{NODE LINK "log: { level = ; };", "/etc/m.conf:3", "syntax error", NULL,
		 "this line"},
		{"a = 1;\na = 2;\n", "/etc/m.conf:2", "duplicate setting name", NULL,
		 "set it once"},
		{NODE "links = [ 1, \"a\" ];", "/etc/m.conf:2", "mismatched element type", NULL,
		 "this line"},
		{NODE LINK "\n  @include \"/tmp\"\n", "/etc/m.conf:4", "@include is not available",
		 NULL, "directory of further files"},
		{NODE LINK "interface: { mtu = 4294968716; };", "/etc/m.conf:3",
		 "the number 4294968716 is too large", "\"L\"", NULL},
		{NODE LINK "interface: { mark = 0x100004d54; };", "/etc/m.conf:3",
		 "the number 0x100004d54 is too large", "\"L\"", NULL},
		{NODE LINK
		 "/* \n 4294968716 \" */ # 4294968716\n// 4294968716\ninterface: { name = "
		 "\"4294968716\\\"4294968716\\\\\"; x4294968716 = 1; };",
		 "/etc/m.conf:6", NULL, NULL, NULL},
	};
	(void)state;
	check_wrong(wrong, sizeof(wrong) / sizeof(wrong[0]) - 1);
	// Numbers in comments, strings and names are none: only what is left is wrong.
	struct config_errors *errors = NULL;
	struct config *config = NULL;
	assert_int_equal(config_parse(wrong[6].text, "/etc/m.conf", &config, &errors), -EINVAL);
	assert_int_equal(config_errors_count(errors), 2);
	assert_string_equal(config_errors_at(errors, 0)->where, "/etc/m.conf:6: interface.name");
	assert_string_equal(config_errors_at(errors, 1)->where,
			    "/etc/m.conf:6: interface.x4294968716");
	config_errors_free(errors);
}

static void test_twice(void **state)
{
	static const struct wrong wrong[] = {
		{NODE "gateway: { pools = [\"10.90.0.0/16\"]; listen = [\"0.0.0.0:443\",\n"
		      "\"0.0.0.0:444\", \"0.0.0.0:443\"]; };",
		 "/etc/m.conf:3: gateway.listen[2]",
		 "\"0.0.0.0:443\" stands at /etc/m.conf:2 already", "each endpoint once", NULL},
		{NODE "links = ( { name = \"a\"; to = [\"a:1\"]; identity = \"spiffe://d/g\"; },\n"
		      "{ name = \"a\"; to = [\"b:1\"]; identity = \"spiffe://d/h\"; } );",
		 "/etc/m.conf:3: links[1]", "\"a\" stands at /etc/m.conf:2 already",
		 "a different name", NULL},
		{NODE
		 "links = ( { name = \"gateway\"; to = [\"a:1\"]; identity = \"spiffe://d/g\"; } );",
		 "/etc/m.conf:2: links[0]", "reserved", "another name", NULL},
		{NODE GATEWAY
		 "sites = (" SITE("a", "10.1.0.0/16") "," SITE("a", "10.2.0.0/16") "); };",
		 "/etc/m.conf:4: gateway.sites[1]",
		 "\"spiffe://d/a\" stands at /etc/m.conf:3 already",
		 "each identity once in \"sites\"", NULL},
		{NODE GATEWAY
		 "clients = (" CLIENT("a", "10.1.0.1") "," CLIENT("a", "10.2.0.1") "); };",
		 "/etc/m.conf:4: gateway.clients[1]", "stands at /etc/m.conf:3 already",
		 "each identity once in \"clients\"", NULL},
		{"node: { certificate = \"c\"; key = \"k\"; trust = \"t\"; federation = (\n"
		 "{ domain = \"a.b\"; trust = \"t\"; },\n{ domain = \"A.b\"; trust = \"t\"; } ); };" LINK,
		 "/etc/m.conf:3: node.federation[1]", "\"a.b\" stands at /etc/m.conf:2 already",
		 "each trust domain once", NULL},
		{NODE LINK "interface: { name = \"lo\"; };", "/etc/m.conf:3: interface.name",
		 "\"lo\" belongs to the kernel", "another name", NULL},
		{NODE LINK "interface: { table = 254; };", "/etc/m.conf:3: interface.table",
		 "table 254 belongs to the host", "other than 253 to 255", NULL},
		{NODE LINK
		 "control: { socket = \"/0123456789012345678901234567890123456789012345678901234567"
		 "89012345678901234567890123456789012345678901234567\"; };",
		 "/etc/m.conf:3: control.socket", "109 characters", "at most 107", NULL},
	};
	(void)state;
	CHECK_WRONG(wrong);
}

static void test_key_that_is_not_renewed(void **state)
{
	static const struct wrong wrong[] = {
		{"node: { certificate = \"c\"; key = \"pkcs11:object=k\"; trust = \"t\"; };\n" LINK
		 "renewal: { url = \"https://vpn.corp.example\"; };",
		 "/etc/m.conf:3: renewal.url", "node.key is no file", NULL,
		 "whoever keeps the key"},
	};

	(void)state;
	CHECK_WRONG(wrong);
}

static void test_ten_errors(void **state)
{
	static const char text[] =
		"node: { certificate = 5; key = \"k\"; };\n"   // 2: type, missing trust
		"interface: { mtu = 70000; nmae = \"a\"; };\n" // 2: range, unknown
		"gateway: { listen = [\"0.0.0.0:0\"];\n"       // 1: port
		" pools = [\"10.90.0.1/16\", \"10.90.0.0/16\", \"10.90.7.0/24\"];\n" // 2: bits, overlap
		" sites = ( { identity = \"x\"; networks = [\"10.1.0.0/16\"]; } ); };\n" // 1: identity
		"dns: { };\n"			 // 1: not available
		"log: { level = \"loud\"; };\n"; // 1: level
	static const unsigned lines[] = {1, 1, 2, 2, 3, 4, 4, 5, 6, 7};
	_cleanup_(config_errors_freep) struct config_errors *errors = NULL;
	struct config *config = NULL;
	char place[64];
	(void)state;
	assert_int_equal(config_parse(text, "m", &config, &errors), -EINVAL);
	assert_int_equal(config_errors_count(errors), 10);
	for (size_t i = 0; i < 10; i++) {
		snprintf(place, sizeof(place), "m:%u: ", lines[i]);
		assert_ptr_equal(strstr(config_errors_at(errors, i)->where, place),
				 config_errors_at(errors, i)->where);
	}
	assert_null(config_errors_at(errors, 10));
}

// No more errors than anybody reads, and a word about the others.
static void test_many_errors(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);
	_cleanup_(config_errors_freep) struct config_errors *errors = NULL;
	struct config *config = NULL;
	(void)state;
	assert_non_null(file);
	fputs(NODE LINK, file);
	for (unsigned i = 0; i < CONFIG_ERRORS_MAX + 7; i++)
		fprintf(file, "unknown%u = 1;\n", i);
	fclose(file);
	assert_int_equal(config_parse(text, "m", &config, &errors), -EINVAL);
	assert_int_equal(config_errors_count(errors), CONFIG_ERRORS_MAX + 1);
	assert_string_equal(config_errors_at(errors, CONFIG_ERRORS_MAX)->what, "7 more errors");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_key_that_is_not_renewed),
		cmocka_unit_test(test_many_errors),
		cmocka_unit_test(test_ten_errors),
		cmocka_unit_test(test_many_errors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
