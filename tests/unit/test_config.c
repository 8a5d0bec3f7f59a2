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
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "daemon/config.h"
#include "daemon/config_report.h"
#include "unit/config_text.h"

static void test_defaults(void **state)
{
	(void)state;
	_cleanup_(config_putp) struct config *config = parse(NODE LINK);
	assert_string_equal(config->node.certificate, "/etc/n.crt");
	assert_string_equal(config->node.key, "/etc/n.key");
	assert_string_equal(config->node.trust, "/t.crt");
	assert_string_equal(config->node.state, "/var/lib/mutun");
	assert_int_equal(config->node.federation_count, 0);
	assert_string_equal(config->interface.name, "mutun0");
	assert_int_equal(config->interface.mtu, 1420);
	assert_int_equal(config->interface.workers, 0);
	assert_int_equal(config->interface.table, 19797);
	assert_int_equal(config->interface.rule_priority, 19797);
	assert_int_equal(config->interface.mark, 0x4d54);
	assert_true(config->offload.tso && config->offload.uso && config->offload.join &&
		    config->offload.segment && config->offload.gro && config->offload.steer);
	assert_false(config->gateway.enabled);
	assert_int_equal(config->gateway.keepalive_s, 15);
	assert_int_equal(config->gateway.reauth_within_s, 30);
	assert_int_equal(config->gateway.max_sessions, 10000);
	assert_int_equal(config->log_level, LOG_LEVEL_INFO);
	assert_string_equal(config->control_socket, "/run/mutun/mutund.sock");
	assert_int_equal(config->link_count, 1);
	assert_string_equal(config->links[0].name, "hq");
	assert_int_equal(config->links[0].to_count, 1);
	assert_string_equal(config->links[0].to[0].host, "a");
	assert_int_equal(config->links[0].to[0].port, 1);
	assert_string_equal(config->links[0].identity, "spiffe://d/g");
	assert_int_equal(config->links[0].accept_route_count, 0);
}

static void test_key_elsewhere(void **state)
{
	static const char text[] = "node: { certificate = \"n.crt\"; trust = \"/t.crt\";\n"
				   "key = \"pkcs11:token=a;object=b?pin-source=file:pin\"; };\n";
	char *whole = NULL;

	(void)state;
	assert_true(asprintf(&whole, "%s%s", text, LINK) > 0);
	_cleanup_(config_putp) struct config *config = parse(whole);
	assert_string_equal(config->node.key, "pkcs11:token=a;object=b?pin-source=file:pin");
	free(whole);
}

static void check_prefix(const struct prefix *prefix, const char *expected)
{
	char text[PREFIX_TEXT_MAX];
	assert_string_equal(prefix_text(prefix, text), expected);
}

static void test_all_settings(void **state)
{
	(void)state;
	_cleanup_(config_putp) struct config *config = parse(
		"node: { certificate = \"sub/n.crt\"; key = \"/k\"; trust = \"t\"; state = \"s\";\n"
		" federation = ( { domain = \"Partner.example\"; trust = \"p.crt\"; } ); };\n"
		"interface: { name = \"vpn7\"; mtu = 9000; workers = 3; table = 4294967295L;\n"
		" rule_priority = 32000; mark = 0xfffffffe; };\n"
		"gateway: { listen = [ \"[::]:443\", \"192.0.2.1:8443\" ]; pools = [ \"fd90::/64\" ];\n"
		" admit = [ \"spiffe://d/**\" ]; routes = [ \"0.0.0.0/0\", \"10.0.0.1\" ];\n"
		" keepalive = 3600; reauth_within = 0; max_sessions = 60000;\n"
		" sites = ( { identity = \"spiffe://d/z\"; networks = [ \"10.1.0.0/16\", \"10.1.2.0/24\" ]; } );\n"
		" clients = ( { identity = \"spiffe://d/a\"; addresses = [ \"10.0.0.7\" ]; },\n"
		"  { identity = \"spiffe://D/z\"; addresses = [ \"10.1.0.9\", \"fd90::9\" ]; } ); };\n"
		"links = ( { name = \"n\"; to = [ \"h.example:443\", \"[fd00::1]:4\" ]; identity = \"spiffe://d/*\";\n"
		" accept = [ \"10.0.0.0/8\" ]; } );\n"
		"log: { level = \"debug\"; }; control = { socket = \"c.sock\"; };\n");
	assert_string_equal(config->node.certificate, "/etc/sub/n.crt");
	assert_string_equal(config->node.state, "/etc/s");
	assert_string_equal(config->node.federation[0].domain, "partner.example");
	assert_string_equal(config->node.federation[0].trust, "/etc/p.crt");
	assert_string_equal(config->interface.name, "vpn7");
	assert_int_equal(config->interface.mtu, 9000);
	assert_int_equal(config->interface.table, UINT32_MAX);
	assert_int_equal(config->interface.mark, 0xfffffffe);
	assert_true(config->gateway.enabled);
	assert_int_equal(config->gateway.listen_count, 2);
	assert_int_equal(config->gateway.listen[1].port, 8443);
	check_prefix(&config->gateway.pools[0], "fd90::/64");
	assert_string_equal(config->gateway.admit[0], "spiffe://d/**");
	assert_int_equal(config->gateway.route_count, 2);
	check_prefix(&config->gateway.routes[1], "10.0.0.1/32");
	assert_int_equal(config->gateway.reauth_within_s, 0);
	// The identity in both lists is one peer; the others stay.
	assert_int_equal(config->gateway.peer_count, 2);
	assert_string_equal(config->gateway.peers[0].identity, "spiffe://d/a");
	assert_int_equal(config->gateway.peers[0].network_count, 0);
	assert_string_equal(config->gateway.peers[1].identity, "spiffe://d/z");
	assert_int_equal(config->gateway.peers[1].network_count, 2);
	assert_int_equal(config->gateway.peers[1].address_count, 2);
	check_prefix(&config->gateway.peers[1].addresses[1], "fd90::9/128");
	assert_string_equal(config->links[0].to[1].host, "fd00::1");
	check_prefix(&config->links[0].accept_routes[0], "10.0.0.0/8");
	assert_int_equal(config->log_level, LOG_LEVEL_DEBUG);
	assert_string_equal(config->control_socket, "/etc/c.sock");
}

struct files {
	char directory[64];
	char main[96];
};

static void files_write(const struct files *files, const char *name, const char *text, size_t size)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", files->directory, name);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

static int files_setup(void **state)
{
	struct files *files = calloc(1, sizeof(*files));
	char path[96];
	assert_non_null(files);
	strcpy(files->directory, "/tmp/test_config.XXXXXX");
	assert_non_null(mkdtemp(files->directory));
	snprintf(files->main, sizeof(files->main), "%s/m.conf", files->directory);
	snprintf(path, sizeof(path), "%s/m.d", files->directory);
	assert_int_equal(mkdir(path, 0700), 0);
	*state = files;
	return 0;
}

static int files_teardown(void **state)
{
	static const char *const names[] = {
		"m.conf", "m.d/10-a.conf", "m.d/20-b.conf", "m.d/30.other", "m.d/.x.conf", "m.d",
		"m"};
	struct files *files = *state;
	char path[256];
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", files->directory, names[i]);
		remove(path);
	}
	assert_int_equal(rmdir(files->directory), 0);
	free(files);
	return 0;
}

#define WRITE(files, name, text) files_write(files, name, text, sizeof(text) - 1)

static void test_merge(void **state)
{
	const struct files *files = *state;
	_cleanup_(config_putp) struct config *config = NULL;
	struct config_errors *errors = NULL;
	char path[256];
	WRITE(files, "m.conf",
	      "node: { certificate = \"c\"; key = \"k\"; };\n" GATEWAY
	      "sites = (" SITE("c", "10.3.0.0/16") "); };");
	WRITE(files, "m.d/20-b.conf", "gateway: { pools = [\"fd91::/64\"]; };" LINK);
	WRITE(files, "m.d/10-a.conf",
	      "node: { trust = \"t\"; }; gateway: { pools = [\"fd90::/64\"];\n"
	      "clients = (" CLIENT("c", "10.3.0.1") ");\n"
						    "sites = (" SITE("a", "10.1.0.0/16") "); };");
	WRITE(files, "m.d/30.other", "nonsense");
	WRITE(files, "m.d/.x.conf", "nonsense");
	assert_int_equal(config_load(files->main, &config, &errors), 0);
	assert_null(errors);
	// Relative to the file that names it.
	snprintf(path, sizeof(path), "%s/c", files->directory);
	assert_string_equal(config->node.certificate, path);
	snprintf(path, sizeof(path), "%s/m.d/t", files->directory);
	assert_string_equal(config->node.trust, path);
	assert_int_equal(config->gateway.pool_count, 3);
	check_prefix(&config->gateway.pools[0], "10.90.0.0/16");
	check_prefix(&config->gateway.pools[1], "fd90::/64");
	check_prefix(&config->gateway.pools[2], "fd91::/64");
	assert_int_equal(config->link_count, 1);
	assert_int_equal(config->gateway.peer_count, 2);
	assert_string_equal(config->gateway.peers[1].identity, "spiffe://d/c");
	check_prefix(&config->gateway.peers[1].networks[0], "10.3.0.0/16");
	check_prefix(&config->gateway.peers[1].addresses[0], "10.3.0.1/32");
	check_prefix(&config->gateway.peers[0].networks[0], "10.1.0.0/16");
}

static void check_error(const struct config_errors *errors, size_t position,
			const struct files *files, const char *where, const char *what)
{
	char path[256];
	const struct error *error = config_errors_at(errors, position);
	assert_non_null(error);
	snprintf(path, sizeof(path), "%s/%s", files->directory, where);
	assert_string_equal(error->where, path);
	check_part(error->what, what, where);
}

static void test_merge_wrong(void **state)
{
	const struct files *files = *state;
	_cleanup_(config_errors_freep) struct config_errors *errors = NULL;
	struct config *config = NULL;
	char what[256];
	WRITE(files, "m.conf", NODE LINK "interface: { mtu = 1400; };\n" GATEWAY "};");
	WRITE(files, "m.d/10-a.conf",
	      "\ninterface: { mtu = 1500; };\ngateway: {\n"
	      "pools = [\"10.90.3.0/24\"]; };\n");
	WRITE(files, "m.d/20-b.conf", "log: { level = ; };");
	assert_int_equal(config_load(files->main, &config, &errors), -EINVAL);
	assert_int_equal(config_errors_count(errors), 3);
	snprintf(what, sizeof(what), "already set at %s:3", files->main);
	check_error(errors, 0, files, "m.d/10-a.conf:2: interface.mtu", what);
	snprintf(what, sizeof(what), "10.90.3.0/24 overlaps 10.90.0.0/16 at %s:4", files->main);
	check_error(errors, 1, files, "m.d/10-a.conf:4: gateway.pools[0]", what);
	check_error(errors, 2, files, "m.d/20-b.conf:1", "syntax error");
}

static void test_unreadable(void **state)
{
	const struct files *files = *state;
	struct config_errors *errors = NULL;
	struct config *config = NULL;
	assert_int_equal(config_load(files->main, &config, &errors), -EINVAL);
	assert_int_equal(config_errors_count(errors), 1);
	check_error(errors, 0, files, "m.conf", "cannot read the file: No such file or directory");
	errors = config_errors_free(errors);

	files_write(files, "m.conf", NODE LINK "\0log: { };", sizeof(NODE LINK "\0log: { };") - 1);
	assert_int_equal(config_load(files->main, &config, &errors), -EINVAL);
	assert_int_equal(config_errors_count(errors), 1);
	check_error(errors, 0, files, "m.conf:3", "a NUL byte");
	errors = config_errors_free(errors);

	char *large = malloc(CONFIG_FILE_MAX + 1);
	assert_non_null(large);
	memset(large, '\n', CONFIG_FILE_MAX + 1);
	files_write(files, "m.conf", large, CONFIG_FILE_MAX + 1);
	assert_int_equal(config_load(files->main, &config, &errors), -EINVAL);
	check_error(errors, 0, files, "m.conf", "the file is too large");
	errors = config_errors_free(errors);
	memcpy(large, NODE LINK, sizeof(NODE LINK) - 1);
	files_write(files, "m.conf", large, CONFIG_FILE_MAX);
	assert_int_equal(config_load(files->main, &config, &errors), 0);
	config_put(config);
	free(large);
}

static void test_reloadable(void **state)
{
	static const struct {
		const char *text, *where, *what;
	} cases[] = {
		{NODE LINK, NULL, NULL},
		{NODE GATEWAY "keepalive = 20; };", NULL, NULL},
		{NODE LINK "log: { level = \"debug\"; };", NULL, NULL},
		{"node: { certificate = \"x\"; key = \"y\"; trust = \"z\"; };" LINK, NULL, NULL},
		{NODE LINK "interface: { mtu = 1300; };", "interface.mtu", "from 1420 to 1300"},
		{NODE LINK "interface: { name = \"t\"; };", "interface.name", "from mutun0 to t"},
		{NODE LINK "interface: { workers = 2; };", "interface.workers", "from 0 to 2"},
		{NODE LINK "interface: { table = 2; };", "interface.table", "to 2"},
		{NODE LINK "interface: { rule_priority = 2; };", "interface.rule_priority", "to 2"},
		{NODE LINK "interface: { mark = 2; };", "interface.mark", "from 19796 to 2"},
		{NODE LINK "control: { socket = \"s\"; };", "control.socket", "to /etc/s"},
		{"node: { certificate = \"x\"; key = \"y\"; trust = \"z\"; state = \"s\"; };" LINK,
		 "node.state", "from /var/lib/mutun to /etc/s"},
	};
	(void)state;
	_cleanup_(config_putp) struct config *old = parse(NODE LINK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_(config_putp) struct config *new = parse(cases[i].text);
		struct error error = {0};
		int r = config_reloadable(old, new, &error);
		assert_int_equal(r, cases[i].where ? -EBUSY : 0);
		if (!cases[i].where)
			continue;
		assert_string_equal(error.where, cases[i].where);
		check_part(error.what, cases[i].what, cases[i].text);
		check_part(error.remedy, "restart the daemon", cases[i].text);
	}
}

static void test_examples(void **state)
{
	static const struct {
		const char *name;
		bool gateway;
		unsigned links;
	} examples[] = {
		{"mutun.conf", true, 0}, {"laptop.conf", false, 1}, {"site.conf", false, 2}};
	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		_cleanup_(config_putp) struct config *config = NULL;
		_cleanup_(config_errors_freep) struct config_errors *errors = NULL;
		char path[512], text[ERROR_TEXT_MAX];
		snprintf(path, sizeof(path), PACKAGING "/examples/%s", examples[i].name);
		int r = config_load(path, &config, &errors);
		if (r < 0)
			fail_msg("%s", error_text(config_errors_at(errors, 0), text, sizeof(text)));
		assert_int_equal(config->gateway.enabled, examples[i].gateway);
		assert_int_equal(config->link_count, examples[i].links);
		assert_string_equal(config->node.certificate, "/var/lib/mutun/node.crt");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_key_elsewhere),
		cmocka_unit_test(test_all_settings),
		cmocka_unit_test_setup_teardown(test_merge, files_setup, files_teardown),
		cmocka_unit_test_setup_teardown(test_merge_wrong, files_setup, files_teardown),
		cmocka_unit_test_setup_teardown(test_unreadable, files_setup, files_teardown),
		cmocka_unit_test(test_reloadable),
		cmocka_unit_test(test_examples),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
