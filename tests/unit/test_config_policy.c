// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <netinet/in.h>
#include <cmocka.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/config.h"
#include "server/policy_trial.h"
#include "tun/rule.h"
#include "unit/config_text.h"

#define LAPTOP "spiffe://corp.example/laptop/"
#define POOL   GATEWAY "};\n" // line 2 and 3

// A policy behind a node and a gateway: its first line is line 4.
#define POLICY(text) NODE POOL "policy: {\n" text "\n};\n"

static void test_none(void **state)
{
	(void)state;
	_cleanup_(config_putp) struct config *gateway = parse(NODE POOL);
	assert_false(gateway->policy.enabled);
	assert_int_equal(gateway->policy.model->rule_count, 0);
	assert_int_equal(gateway->policy.model->inbound_count, 1);
	assert_true(gateway->policy.model->reject);
	_cleanup_(config_putp) struct config *laptop = parse(NODE LINK);
	const struct rule *ping = &laptop->policy.model->inbound[0];
	assert_true(ping->from.any && ping->to.any && !ping->deny);
	assert_int_equal(ping->service_count, 2);
	assert_true(rule_service_matches(&ping->services[0], IPPROTO_ICMP, 8 << 8));
	assert_true(rule_service_matches(&ping->services[1], IPPROTO_ICMPV6, 128 << 8));
	assert_int_equal(config_errors_count(laptop->warnings), 0);
}

static const char whole[] = POLICY(
	"groups: {\n"
	" eng = [ \"" LAPTOP "eng-*\", \"" LAPTOP "boss\" ];\n"
	" ext = ( \"spiffe://corp.example/guest/**\", { identity = \"" LAPTOP "ext-*\";\n"
	"  issuer = \"CN=Contractor CA, O=corp.example\"; unit = \"Build\"; hardware = true; } ); };\n"
	"networks: { staging = [ \"10.20.0.0/16\", \"fd20::/48\" ]; };\n"
	"hosts: { wiki = [ \"10.21.0.5\" ]; };\n"
	"services: { web = [ \"tcp/80\", \"tcp/443\" ]; };\n"
	"rules = (\n"
	" { name = \"eng to staging\"; from = [ \"group:eng\" ]; to = [ \"net:staging\", \"host:wiki\" ];\n"
	"   allow = [ \"service:web\", \"tcp/8000-8100\", \"icmp/echo-request\" ]; log = true; },\n"
	" { from = [ \"any\" ]; to = [ \"net:staging\" ]; deny = [ \"tcp/25\" ]; reject = false; },\n"
	" { from = [ \"group:ext\", \"10.90.0.0/16\" ]; to = [ \"host:wiki\", \"self\" ]; allow = [ \"tcp/443\" ];\n"
	"   hours = [ \"mon-fri 08:00-18:00\", \"22:00-06:00\" ]; zone = \"Europe/Berlin\"; expires = \"2037-01-31\"; },\n"
	" { from = [ \"net:staging\" ]; to = [ \"" LAPTOP
	"eng-7\", \"10.9.0.1\" ]; deny = [ \"icmp\" ]; } );\n"
	"inbound = ( { from = [ \"net:staging\" ]; allow = [ \"tcp/22\" ]; } );\n"
	"refuse = \"drop\"; flows_per_peer = 100; flows = 2000;\n"
	"tests = ( { from = \"" LAPTOP
	"eng-7\"; to = \"10.20.0.5\"; allow = [ \"tcp/443\", \"tcp/8000-8100\" ];\n"
	"  deny = [ \"tcp/25\", \"udp\" ]; }, { name = \"in\"; from = \"10.20.0.9\"; to = \"10.1.1.1\"; inbound = true;\n"
	"  allow = [ \"tcp/22\" ]; deny = [ \"tcp/21\", \"tcp/23\", \"icmp\" ]; },\n"
	" { from = \"" LAPTOP
	"ext-1\"; to = \"10.21.0.5\"; at = \"2026-12-01T10:00:00Z\"; allow = [ \"tcp/443\" ];\n"
	"  issuer = \"CN=Contractor CA,O=corp.example\"; unit = \"Build\"; hardware = true; } );");

static void check_groups(const struct rules *rules)
{
	const struct rule_group *eng = &rules->groups[rules->rules[0].from.groups[0]];
	assert_string_equal(eng->name, "group:eng");
	assert_int_equal(eng->peer_count, 2);
	assert_string_equal(eng->peers[1].identity, LAPTOP "boss");
	const struct rule_group *ext = &rules->groups[rules->rules[2].from.groups[0]];
	assert_int_equal(ext->peer_count, 2);
	assert_string_equal(ext->peers[0].identity, "spiffe://corp.example/guest/**");
	assert_false(ext->peers[0].hardware);
	assert_string_equal(ext->peers[1].issuer, "CN=Contractor CA,O=corp.example");
	assert_string_equal(ext->peers[1].unit, "Build");
	assert_true(ext->peers[1].hardware);
	// What has no name.
	const struct rule_side *to = &rules->rules[3].to;
	assert_null(rules->groups[to->groups[0]].name);
	assert_string_equal(rules->groups[to->groups[0]].peers[0].identity, LAPTOP "eng-7");
	assert_null(rules->nets[to->nets[0]].name);
	assert_int_equal(rules->nets[to->nets[0]].prefixes[0].length, 32);
	const struct rule_net *self = &rules->nets[rules->rules[2].to.nets[1]];
	struct addr own;
	assert_int_equal(addr_parse("10.90.0.1", &own), 0);
	assert_string_equal(self->name, "self");
	assert_int_equal(self->prefix_count, 1);
	assert_true(prefix_contains(&self->prefixes[0], &own));
	assert_int_equal(self->prefixes[0].length, 32);
}

static void test_whole(void **state)
{
	(void)state;
	_cleanup_(config_putp) struct config *config = parse(whole);
	const struct rules *rules = config->policy.model;
	assert_int_equal(rules->rule_count, 4);
	assert_false(rules->reject);
	assert_int_equal(config->policy.flows_per_peer, 100);
	assert_int_equal(config->policy.flows, 2000);
	assert_int_equal(config->policy.trial_count, 3);
	check_groups(rules);
	assert_string_equal(rules->rules[0].name, "eng to staging");
	assert_string_equal(rules->rules[0].place, "m.conf:13");
	assert_true(rules->rules[0].log && !rules->rules[0].deny);
	assert_int_equal(rules->rules[0].to.net_count, 2);
	assert_int_equal(rules->rules[0].service_count, 5); // two of web, ports, two of ICMP
	assert_int_equal(rules->rules[0].services[2].first, 8000);
	assert_int_equal(rules->rules[0].services[2].last, 8100);
	assert_true(rules->rules[1].deny && !rules->rules[1].reject && rules->rules[1].from.any);
	assert_int_equal(rules->rules[2].hour_count, 2);
	assert_int_equal(rules->rules[2].hours[0].days, 0x1f);
	assert_int_equal(rules->rules[2].hours[1].from_min, 22 * 60);
	assert_int_equal(rules->rules[2].hours[1].days, 0x7f);
	assert_non_null(rules->rules[2].zone);
	assert_int_equal(rules->rules[2].expires, 2117055600);	      // midnight in Berlin
	assert_true(rules->rules[3].deny && !rules->rules[3].reject); // as `refuse`
	assert_int_equal(rules->inbound_count, 1);
	assert_true(rules->inbound[0].to.any);
	for (size_t i = 0; i < config_errors_count(config->warnings); i++)
		fail_msg("%s", config_errors_at(config->warnings, i)->what);
}

// The gateway has an address in the pools of profiles, too.
static void test_self(void **state)
{
	struct addr own;
	(void)state;
	_cleanup_(config_putp) struct config *config = parse(
		NODE GATEWAY
		"profiles = ( { for = [ \"spiffe://d/x\" ]; pools = [ \"10.91.0.0/16\" ]; } ); };\n"
		"policy: { rules = ( { from = [ \"any\" ]; to = [ \"self\" ]; allow = [ \"icmp\" ]; } ); };");
	const struct rules *rules = config->policy.model;
	const struct rule_net *self = &rules->nets[rules->rules[0].to.nets[0]];
	assert_int_equal(addr_parse("10.91.0.1", &own), 0);
	assert_int_equal(self->prefix_count, 2);
	assert_true(prefix_contains(&self->prefixes[1], &own));
	assert_int_equal(self->prefixes[1].length, 32);
}

// A list that is there and empty is no list that is missing.
static void test_empty_inbound(void **state)
{
	(void)state;
	_cleanup_(config_putp) struct config *config = parse(POLICY("inbound = ( );"));
	assert_int_equal(config->policy.model->inbound_count, 0);
}

#define RULE(from, to, rest) "{ from = [ " from " ]; to = [ " to " ]; " rest " }"
#define RULES(text)	     POLICY("rules = ( " text " );")
#define WEB		     "allow = [ \"tcp/443\" ];"
#define AT		     "/etc/m.conf:5: policy."

static void test_words(void **state)
{
	static const struct wrong wrong[] = {
		{RULES(RULE("\"group:enginers\"", "\"any\"",
			    WEB) "); groups: { engineers = [ \"" LAPTOP "*\" ]; }; tests = ("),
		 AT "rules[0].from[0]", "there is no \"group:enginers\"", NULL,
		 "did you mean \"group:engineers\"?"},
		{RULES(RULE("\"net:x\"", "\"any\"", WEB)), AT "rules[0].from[0]",
		 "there is no \"net:x\"", NULL, "define it in policy.networks"},
		{RULES(RULE("\"any\"", "\"any\"", "deny = [ \"service:web\" ];")),
		 AT "rules[0].deny[0]", "there is no \"service:web\"", NULL,
		 "define it in policy.services"},
		{RULES(RULE("\"engineers\"", "\"any\"", WEB)), AT "rules[0].from[0]",
		 "found the string \"engineers\"", "\"group:NAME\"", NULL},
		{RULES(RULE("\"10.0.0.1/8\"", "\"any\"", WEB)), AT "rules[0].from[0]",
		 "host bits set; the prefix is \"10.0.0.0/8\"", "a prefix", NULL},
		{RULES(RULE("\"spiffe://corp.example/a/**/b\"", "\"any\"", WEB)),
		 AT "rules[0].from[0]", "may only be the last segment", "an identity pattern",
		 NULL},
		{RULES(RULE("\"any\", \"self\"", "\"any\"", WEB)), AT "rules[0].from",
		 "\"any\" makes the other words pointless", NULL, "remove"},
		{RULES(RULE("", "\"any\"", WEB)), AT "rules[0].from", "found 0 elements",
		 "an array of 1 to 1024", NULL},
		{RULES("{ to = [ \"any\" ]; " WEB " }"), AT "rules[0]", "\"from\" is missing",
		 "an array", NULL},
		{RULES(RULE("\"any\"", "\"any\"", "")), AT "rules[0]",
		 "neither \"allow\" nor \"deny\"", "one of them", NULL},
		{RULES(RULE("\"any\"", "\"any\"", WEB "deny = [ \"udp\" ];")), AT "rules[0]",
		 "both \"allow\" and \"deny\"", "one of them", NULL},
		{RULES(RULE("\"any\"", "\"any\"", WEB "reject = true;")), AT "rules[0].reject",
		 "only a rule with \"deny\" refuses", NULL, "remove it"},
		{RULES(RULE("\"any\"", "\"any\"", "allow = [ \"tcp/70000\" ];")),
		 AT "rules[0].allow[0]", "\"tcp/70000\" is no service: a port is a number",
		 "\"udp/5000-5100\"", NULL},
		{RULES(RULE("\"any\"", "\"any\"", WEB "hours = [ \"mon-fri 8-18\" ];")),
		 AT "rules[0].hours[0]", "\"mon-fri 8-18\"", "08:00-18:00", NULL},
		{RULES(RULE("\"any\"", "\"any\"", WEB "expires = \"2027-02-30\";")),
		 AT "rules[0].expires", "there is no such day or time", "2027-01-31", NULL},
		{RULES(RULE("\"any\"", "\"any\"",
			    WEB "hours = [ \"mon\" ]; zone = \"Europe/Atlantis\";")),
		 AT "rules[0].zone", "Europe/Atlantis", "a time zone", NULL},
		{RULES(RULE("\"any\"", "\"any\"", WEB "logs = true;")), AT "rules[0].logs",
		 "unknown setting", NULL, "did you mean \"policy.rules[].log\"?"},
		{POLICY("groups: { a = [ ]; };"), AT "groups.a", "found an array", "1 to 65536",
		 NULL},
		{POLICY("groups: { a = ( { } ); };"), AT "groups.a[0]", "this is every peer", NULL,
		 "or use the word \"any\""},
		{POLICY("groups: { a = ( { hardwre = true; } ); };"), AT "groups.a[0].hardwre",
		 "unknown setting", NULL, "did you mean \"policy.groups[].hardware\"?"},
		{POLICY("groups = [ \"x\" ];"), AT "groups", "found an array", "a group { NAME",
		 NULL},
		{POLICY("networks: { a = \"10.0.0.0/8\"; };"), AT "networks.a", "found the string",
		 "an array of", NULL},
		{POLICY("hosts: { a = [ \"10.0.0.0/8\" ]; };"), AT "hosts.a[0]", "found the string",
		 "an address", NULL},
		{POLICY("services: { a = [ \"service:b\" ]; };"), AT "services.a[0]",
		 "\"service:b\" is no service", "tcp/443", NULL},
		{POLICY("refuse = \"no\";"), AT "refuse", "found the string \"no\"",
		 "\"reject\" or \"drop\"", NULL},
	};
	(void)state;
	CHECK_WRONG(wrong);
}

static void test_pointless(void **state)
{
	static const struct wrong wrong[] = {
		{POLICY("groups: { a = [ \"" LAPTOP "*\", \"" LAPTOP "x\" ]; };"), AT "groups.a",
		 LAPTOP "* makes " LAPTOP "x pointless in group:a", NULL, "remove one"},
		{POLICY("networks: { a = [ \"10.1.0.0/16\", \"fd00::/8\", \"10.0.0.0/8\" ]; };"),
		 AT "networks.a", "10.0.0.0/8 makes 10.1.0.0/16 pointless in net:a", NULL,
		 "remove one"},
		{RULES(RULE("\"" LAPTOP "**\", \"" LAPTOP "x\"", "\"any\"", WEB)),
		 AT "rules[0].from", LAPTOP "** makes " LAPTOP "x pointless", NULL, "remove one"},
		{RULES(RULE("\"any\"", "\"10.0.0.0/8\", \"10.7.0.1\"", WEB)), AT "rules[0].to",
		 "10.0.0.0/8 makes 10.7.0.1 pointless", NULL, "remove one"},
		{RULES(RULE("\"any\"", "\"any\"", "allow = [ \"tcp/443\", \"tcp\" ];")),
		 AT "rules[0].allow", "tcp makes tcp/443 pointless", NULL, "remove one"},
		{RULES(RULE("\"" LAPTOP "x\"", "\"10.0.0.0/8\"", WEB) ",\n" RULE(
			 "\"" LAPTOP "*\"", "\"any\"", "deny = [ \"tcp\" ]; name = \"no tcp\";")),
		 AT "rules[0]", "this rule allows nothing: no tcp at m.conf:6 denies all of it",
		 NULL, "deny less"},
		{RULES(RULE("\"any\"", "\"10.0.0.0/8\"", WEB) ",\n" RULE("\"any\"",
									 "\"10.0.0.0/8\"", WEB)),
		 "/etc/m.conf:6: policy.rules[1]", "the rule at m.conf:5 says the same", NULL,
		 "remove one"},
		{POLICY("inbound = (\n" RULE("\"any\"", "\"10.0.0.1\", \"" LAPTOP "x\"", WEB) ");"),
		 "/etc/m.conf:6: policy.inbound[0].to",
		 LAPTOP "x matches nothing in \"to\" of an inbound rule", NULL, "name addresses"},
	};
	(void)state;
	CHECK_WRONG(wrong);
}

static void check_warning(const char *text, const char *where, const char *what)
{
	_cleanup_(config_putp) struct config *config = parse(text);
	const struct error *warning = config_errors_at(config->warnings, 0);
	if (config_errors_count(config->warnings) != 1)
		fail_msg("%zu warnings, not \"%s\"", config_errors_count(config->warnings), what);
	assert_string_equal(warning->where, where);
	assert_non_null(strstr(warning->what, what));
}

// Its gateway is spiffe://d/g.
#define INBOUND(from) NODE LINK "\npolicy: { inbound = (\n" RULE(from, "\"10.0.0.1\"", WEB) "); };"

static void test_links(void **state)
{
	static const char *const right[] = {
		INBOUND("\"any\""),
		INBOUND("\"10.0.0.0/8\""),
		INBOUND("\"spiffe://d/g\""),
		INBOUND("\"spiffe://d/*\""),
		NODE LINK GATEWAY
		"};\npolicy: { rules = (\n" RULE("\"spiffe://d/*\"", "\"any\"", WEB) "); };",
		NODE LINK GATEWAY
		"};\npolicy: { rules = (\n" RULE("\"any\"", "\"spiffe://d/h\"", WEB) "); };",
	};
	(void)state;
	for (unsigned i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		_cleanup_(config_putp) struct config *config = parse(right[i]);
		assert_int_equal(config_errors_count(config->warnings), 0);
	}
	check_warning(INBOUND("\"" LAPTOP "x\", \"10.0.0.2\""),
		      "/etc/m.conf:5: policy.inbound[0].from", "no link leads to " LAPTOP "x");
	check_warning(NODE LINK GATEWAY
		      "};\npolicy: { rules = (\n" RULE("\"spiffe://d/g\"", "\"any\"", WEB) "); };",
		      "/etc/m.conf:6: policy.rules[0].from", "is who link \"hq\" leads to");
	check_warning(NODE LINK GATEWAY
		      "};\npolicy: { rules = (\n" RULE("\"any\"", "\"spiffe://d/g\"", WEB) "); };",
		      "/etc/m.conf:6: policy.rules[0].to", "is who link \"hq\" leads to");
}

static void test_warnings(void **state)
{
	(void)state;
	check_warning(POLICY("groups: { a = [ \"" LAPTOP "*\" ]; };"), AT "groups.a",
		      "no rule uses \"group:a\"");
	check_warning(POLICY("hosts: { a = [ \"10.0.0.1\" ]; };"), AT "hosts.a",
		      "no rule uses \"host:a\"");
	check_warning(POLICY("services: { a = [ \"tcp\" ]; };"), AT "services.a",
		      "no rule uses \"service:a\"");
	check_warning(RULES(RULE("\"any\"", "\"net:a\"", WEB) "," RULE(
			      "\"any\"", "\"net:b\"",
			      "allow = [ \"udp\" ];") "); networks: { a = [ \"10.0.0.0/8\", "
						      "\"fd00::/8\" ];\nb = [ \"fd00::/8\", "
						      "\"10.0.0.0/8\" ]; }; tests = ("),
		      "/etc/m.conf:6: policy.networks.b", "\"net:b\" and \"net:a\" are the same");
	check_warning(RULES(RULE("\"any\"", "\"any\"", WEB "expires = \"2020-01-01\";")),
		      AT "rules[0].expires", "has expired");
	check_warning(RULES(RULE("\"any\"", "\"10.0.0.0/8\"", "allow = [ \"tcp\" ];") ",\n" RULE(
			      "\"" LAPTOP "*\"", "\"10.2.0.0/16\"", WEB)),
		      "/etc/m.conf:6: policy.rules[1]", "never decides: the rule at m.conf:5");
	check_warning(RULES(RULE("\"any\"", "\"any\"", WEB "zone = \"Europe/Berlin\";")),
		      AT "rules[0].zone", "no time in this rule");
	// A Monday; the rule ends on Tuesday, and its days are Saturdays.
	clock_set_wall(1796000000);
	check_warning(RULES(RULE("\"any\"", "\"any\"",
				 WEB "expires = \"2026-12-01\"; hours = [ \"sat\" ];")),
		      AT "rules[0].expires", "expires before its hours come again");
	clock_set_wall(0);
}

static void test_tests(void **state)
{
#define TEST(rest) "); tests = ( { from = \"" LAPTOP "a\"; to = \"10.20.0.5\"; " rest " }"
	static const struct wrong wrong[] = {
		{RULES(RULE("\"any\"", "\"10.20.0.0/16\"", WEB) TEST("deny = [ \"tcp\" ];")),
		 AT "tests[0]", "must not reach 10.20.0.5 by tcp/443, but rule m.conf:5 allows it",
		 NULL, "change the rules"},
		{RULES(RULE("\"any\"", "\"10.21.0.0/16\"", WEB)
			       TEST("allow = [ \"tcp/443\" ]; name = \"wiki\";")),
		 AT "tests[0]",
		 "the test \"wiki\" fails: " LAPTOP
		 "a must reach 10.20.0.5 by tcp/443, but no rule allows it",
		 NULL, "change the rules"},
		{RULES(RULE("\"any\"", "\"any\"", "deny = [ \"tcp/25\" ];") "," RULE(
			 "\"any\"", "\"any\"", "allow = [ \"any\" ];")
			       TEST("allow = [ \"any\" ];")),
		 AT "tests[0]", "by tcp/25, but rule m.conf:5 denies it", NULL, "change the rules"},
		{RULES(RULE("\"any\"", "\"any\"", WEB) TEST("")), AT "tests[0]",
		 "this test asks for nothing", "\"allow\", \"deny\"", NULL},
		{RULES(RULE("\"any\"", "\"any\"", WEB)
			       TEST("at = \"2026-12-01\"; deny = [ \"udp\" ];")),
		 AT "tests[0].at", "the time of the day is missing", "a time", NULL},
		{RULES(RULE("\"any\"", "\"any\"", WEB) "); tests = ( { from = \"10.0.0.1\"; to = "
						       "\"10.0.0.2\"; unit = \"x\"; deny = "
						       "[ \"udp\" ]; }"),
		 AT "tests[0]", "an address has no certificate", "an identity", NULL},
		{RULES(RULE("\"any\"", "\"any\"", WEB) "); tests = ( { from = \"alice\"; to = "
						       "\"10.0.0.2\"; deny = [ \"udp\" ]; }"),
		 AT "tests[0].from", "found the string \"alice\"", "an identity such as", NULL},
	};
	(void)state;
	CHECK_WRONG(wrong);
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

// A name of several files has the entries of all, and rules are appended; places say which file it was.
static void test_several_files(void **state)
{
	_cleanup_(config_putp) struct config *config = NULL;
	_cleanup_(config_errors_freep) struct config_errors *errors = NULL;
	char directory[] = "/tmp/test-policy-XXXXXX", main_file[64], folder[64], more[80];
	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(main_file, sizeof(main_file), "%s/m.conf", directory);
	snprintf(folder, sizeof(folder), "%s/m.d", directory);
	snprintf(more, sizeof(more), "%s/p.conf", folder);
	assert_int_equal(mkdir(folder, 0700), 0);
	write_file(main_file,
		   RULES(RULE("\"group:a\"", "\"any\"", WEB) "); groups: { a = [ \"" LAPTOP
							     "x\" ]; }; tests = ("));
	write_file(more, "policy: { groups: { a = [ \"" LAPTOP "y\" ]; };\nrules = ( " RULE(
				 "\"group:a\"", "\"self\"", "deny = [ \"udp\" ];") " ); };");
	assert_int_equal(config_load(main_file, &config, &errors), 0);
	const struct rules *rules = config->policy.model;
	assert_int_equal(rules->rule_count, 2);
	assert_string_equal(rules->rules[0].place, "m.conf:5");
	assert_string_equal(rules->rules[1].place, "p.conf:2");
	const struct rule_group *group = &rules->groups[rules->rules[1].from.groups[0]];
	assert_int_equal(rules->rules[0].from.groups[0], rules->rules[1].from.groups[0]);
	assert_int_equal(group->peer_count, 2);
	assert_string_equal(group->peers[1].identity, LAPTOP "y");
	unlink(more);
	rmdir(folder);
	unlink(main_file);
	rmdir(directory);
}

// What 10,000 rules take is said, not judged.
static void test_many_rules(void **state)
{
	_cleanup_(freep) char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);
	(void)state;
	assert_non_null(file);
	fputs(NODE POOL "policy: { groups: {\n", file);
	for (unsigned i = 0; i < 1000; i++)
		fprintf(file, "g%u = [ \"" LAPTOP "g%u-*\", \"" LAPTOP "h%u\" ];\n", i, i, i);
	fputs("}; networks: {\n", file);
	for (unsigned i = 0; i < 500; i++)
		fprintf(file, "n%u = [ \"10.%u.%u.0/24\" ];\n", i, i / 250, i % 250);
	fputs("}; rules = (\n", file);
	for (unsigned i = 0; i < 10000; i++)
		fprintf(file, "%c{from=[\"group:g%u\"];to=[\"net:n%u\"];%s=[\"tcp/%u\"];}\n",
			i ? ',' : ' ', i % 1000, i % 500, i % 10 ? "allow" : "deny", i + 1);
	fputs("); };\n", file);
	fclose(file);
	uint64_t before = clock_ms();
	_cleanup_(config_putp) struct config *config = parse(text);
	print_message("%zu bytes, %llu ms\n", size, (unsigned long long)(clock_ms() - before));
	assert_int_equal(config->policy.model->rule_count, 10000);
	assert_int_equal(config_errors_count(config->warnings), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),	      cmocka_unit_test(test_whole),
		cmocka_unit_test(test_empty_inbound), cmocka_unit_test(test_words),
		cmocka_unit_test(test_pointless),     cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_links),	      cmocka_unit_test(test_tests),
		cmocka_unit_test(test_many_rules),    cmocka_unit_test(test_several_files),
		cmocka_unit_test(test_self),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
