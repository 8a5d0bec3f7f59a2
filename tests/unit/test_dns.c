// SPDX-License-Identifier: Apache-2.0
// Against a stand-in for systemd-resolved on a bus of the test's own. Both ends share one event loop.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <systemd/sd-bus.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "client/dns.h"

#define INTERFACE 7u
#define ROUNDS	  500u // of at most 10 ms

static const char bus_config[] =
	"<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n"
	"\"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
	"<busconfig><type>system</type><listen>unix:path=%s/bus</listen>\n"
	"<policy context='default'><allow user='*'/><allow own='*'/><allow send_destination='*'/>\n"
	"<allow receive_sender='*'/></policy></busconfig>\n";

struct world {
	char directory[32];
	pid_t daemon;
	sd_event *event;
	sd_bus *service;
	char said[512]; // of all calls since it was last emptied
	bool refuse;
};
static struct world world;

static void note(const char *text)
{
	size_t at = strlen(world.said);
	snprintf(world.said + at, sizeof(world.said) - at, "%s", text);
}

static int answer(sd_bus_message *message, sd_bus_error *error)
{
	if (world.refuse)
		return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED, "not for you");
	return sd_bus_reply_method_return(message, "");
}

static int on_servers(sd_bus_message *message, void *data, sd_bus_error *error)
{
	int index, family;
	const void *bytes;
	size_t size;
	char text[64];
	(void)data;
	assert_true(sd_bus_message_read(message, "i", &index) >= 0);
	assert_int_equal(index, INTERFACE);
	note("dns");
	assert_true(sd_bus_message_enter_container(message, 'a', "(iay)") >= 0);
	while (sd_bus_message_enter_container(message, 'r', "iay") > 0) {
		struct addr addr = {0};
		assert_true(sd_bus_message_read(message, "i", &family) >= 0);
		assert_true(sd_bus_message_read_array(message, 'y', &bytes, &size) >= 0);
		addr.family = (uint8_t)family;
		assert_int_equal(size, ADDR_BYTES(&addr));
		memcpy(addr.bytes, bytes, size);
		note(" ");
		note(addr_text(&addr, text));
		sd_bus_message_exit_container(message);
	}
	note(";");
	return answer(message, error);
}

static int on_domains(sd_bus_message *message, void *data, sd_bus_error *error)
{
	int index, route_only;
	const char *domain;
	(void)data;
	assert_true(sd_bus_message_read(message, "i", &index) >= 0);
	note("domains");
	assert_true(sd_bus_message_enter_container(message, 'a', "(sb)") >= 0);
	while (sd_bus_message_read(message, "(sb)", &domain, &route_only) > 0) {
		note(route_only ? " ~" : " ");
		note(domain);
	}
	note(";");
	return answer(message, error);
}

static int on_default(sd_bus_message *message, void *data, sd_bus_error *error)
{
	int index, yes;
	(void)data;
	assert_true(sd_bus_message_read(message, "ib", &index, &yes) >= 0);
	note(yes ? "default;" : "no default;");
	return answer(message, error);
}

static int on_revert(sd_bus_message *message, void *data, sd_bus_error *error)
{
	int index;
	(void)data;
	assert_true(sd_bus_message_read(message, "i", &index) >= 0);
	assert_int_equal(index, INTERFACE);
	note("revert;");
	return answer(message, error);
}

static const sd_bus_vtable methods[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("SetLinkDNS", "ia(iay)", "", on_servers, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("SetLinkDomains", "ia(sb)", "", on_domains, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("SetLinkDefaultRoute", "ib", "", on_default, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("RevertLink", "i", "", on_revert, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static void start_service(void)
{
	assert_true(sd_bus_open_system(&world.service) >= 0);
	assert_true(sd_bus_add_object_vtable(world.service, NULL, "/org/freedesktop/resolve1",
					     "org.freedesktop.resolve1.Manager", methods,
					     NULL) >= 0);
	assert_true(sd_bus_request_name(world.service, "org.freedesktop.resolve1", 0) >= 0);
	assert_true(sd_bus_attach_event(world.service, world.event, 0) >= 0);
}

static void stop_service(void)
{
	world.service = sd_bus_flush_close_unref(world.service);
}

static bool bus_listens(void)
{
	sd_bus *bus = NULL;
	bool listens = sd_bus_open_system(&bus) >= 0;

	sd_bus_unref(bus);
	return listens;
}

static void start_bus(void)
{
	char path[64], address[80];
	snprintf(path, sizeof(path), "%s/conf", world.directory);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, bus_config, world.directory);
	fclose(file);
	snprintf(address, sizeof(address), "unix:path=%s/bus", world.directory);
	setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1);
	char option[80];
	snprintf(option, sizeof(option), "--config-file=%s", path);
	world.daemon = fork();
	if (world.daemon == 0) {
		execlp("dbus-daemon", "dbus-daemon", option, "--nofork", "--nopidfile", NULL);
		_exit(127);
	}
	for (unsigned i = 0; i < ROUNDS && !bus_listens(); i++) {
		if (waitpid(world.daemon, NULL, WNOHANG) > 0) {
			world.daemon = 0;
			skip(); // there is none here
		}
		usleep(10000);
	}
}

static int set_up(void **state)
{
	(void)state;
	world = (struct world){.directory = "/tmp/mutun-dns-XXXXXX"};
	assert_non_null(mkdtemp(world.directory));
	assert_true(sd_event_new(&world.event) >= 0);
	return 0;
}

static int tear_down(void **state)
{
	char path[64];
	(void)state;
	stop_service();
	sd_event_unref(world.event);
	if (world.daemon > 0) {
		kill(world.daemon, SIGTERM);
		waitpid(world.daemon, NULL, 0);
	}
	snprintf(path, sizeof(path), "%s/conf", world.directory);
	unlink(path);
	snprintf(path, sizeof(path), "%s/bus", world.directory);
	unlink(path);
	rmdir(world.directory);
	return 0;
}

static bool says(const struct dns *dns, const char *words)
{
	char text[DNS_TEXT_MAX];
	return strstr(dns_text(dns, text), words);
}

static void wait_until(const struct dns *dns, const char *words)
{
	char text[DNS_TEXT_MAX];
	for (unsigned i = 0; i < ROUNDS && !says(dns, words); i++)
		sd_event_run(world.event, 10000);
	if (!says(dns, words))
		fail_msg("\"%s\", not \"%s\"", dns_text(dns, text), words);
}

static void wait_said(const char *words)
{
	for (unsigned i = 0; i < ROUNDS && strcmp(world.said, words) != 0; i++)
		sd_event_run(world.event, 10000);
	assert_string_equal(world.said, words);
	world.said[0] = '\0';
}

static struct message_push push_of(const char *server, const char *domain)
{
	struct message_push push = {0};
	if (server)
		assert_int_equal(addr_parse(server, &push.servers[push.server_count++]), 0);
	if (domain)
		snprintf(push.domains[push.domain_count++], DOMAIN_TEXT_MAX, "%s", domain);
	return push;
}

static void sets_and_takes_back(void **state)
{
	struct message_push corp = push_of("10.20.0.53", "corp.example");
	struct message_push lab = push_of("fd20::53", "lab.example");
	(void)state;
	start_bus();
	start_service();
	_cleanup_(dns_freep) struct dns *dns = dns_new(world.event, INTERFACE, "mutun0");
	assert_true(says(dns, "none"));
	assert_int_equal(dns_set(dns, "hq", &corp, false), 0);
	wait_said("dns 10.20.0.53;domains corp.example;no default;");
	wait_until(dns, "set in systemd-resolved");
	// The same again says nothing.
	assert_int_equal(dns_set(dns, "hq", &corp, false), 0);
	assert_true(says(dns, "set in"));
	// A second link; then everything goes through it.
	assert_int_equal(dns_set(dns, "lab", &lab, true), 0);
	wait_said("dns 10.20.0.53 fd20::53;domains corp.example lab.example ~.;default;");
	dns_clear(dns, "hq");
	wait_said("dns fd20::53;domains lab.example ~.;default;");
	dns_clear(dns, "lab");
	wait_said("revert;");
	wait_until(dns, "none");
	dns_clear(dns, "lab");
	// A server without domains is asked about everything.
	corp.domain_count = 0;
	assert_int_equal(dns_set(dns, "hq", &corp, false), 0);
	wait_said("dns 10.20.0.53;domains;default;");
	wait_until(dns, "set in");
	dns = dns_free(take(dns));
	wait_said("revert;");
}

static void does_without(void **state)
{
	struct message_push corp = push_of("10.20.0.53", "corp.example");
	(void)state;
	setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere", 1);
	_cleanup_(dns_freep) struct dns *dns = dns_new(world.event, INTERFACE, "mutun0");
	assert_int_equal(dns_set(dns, "hq", &corp, false), 0);
	wait_until(dns, "not set: systemd-resolved does not run here");
	assert_true(says(dns, "10.20.0.53"));
	dns_clear(dns, "hq");
	assert_true(says(dns, "none"));
}

static void follows_the_service(void **state)
{
	struct message_push corp = push_of("10.20.0.53", "corp.example");
	(void)state;
	start_bus();
	_cleanup_(dns_freep) struct dns *dns = dns_new(world.event, INTERFACE, "mutun0");
	assert_int_equal(dns_set(dns, "hq", &corp, false), 0);
	wait_until(dns, "does not run here");
	start_service();
	wait_said("dns 10.20.0.53;domains corp.example;no default;");
	wait_until(dns, "set in systemd-resolved");
	stop_service();
	wait_until(dns, "does not run here");
	start_service();
	wait_said("dns 10.20.0.53;domains corp.example;no default;");
}

static void says_why_not(void **state)
{
	struct message_push corp = push_of("10.20.0.53", NULL);
	(void)state;
	start_bus();
	start_service();
	world.refuse = true;
	_cleanup_(dns_freep) struct dns *dns = dns_new(world.event, INTERFACE, "mutun0");
	assert_int_equal(dns_set(dns, "hq", &corp, false), 0);
	wait_until(dns, "not set: systemd-resolved refused: not for you");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(sets_and_takes_back),
		CASE(does_without),
		CASE(follows_the_service),
		CASE(says_why_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
