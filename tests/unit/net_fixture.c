// SPDX-License-Identifier: Apache-2.0

#include "unit/net_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"

bool net_possible(void)
{
	if (geteuid() == 0)
		return true;
	puts("skipped: needs root, to make network namespaces and TUN interfaces");
	return false;
}

char *net_run(const char *command)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	FILE *from = popen(command, "r");
	char buffer[4096];
	size_t n = 0;
	assert_non_null(to);
	assert_non_null(from);
	while ((n = fread(buffer, 1, sizeof(buffer), from)) > 0)
		fwrite(buffer, 1, n, to);
	fclose(to);
	if (pclose(from) != 0)
		fail_msg("failed: %s\n%s", command, text);
	return text;
}

unsigned net_count(const char *command, const char *text)
{
	_cleanup_(freep) char *said = net_run(command);
	unsigned count = 0;
	char *rest = NULL;
	// Line by line: AddressSanitizer's strstr() measures all that is left each time.
	for (const char *line = strtok_r(said, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest))
		for (const char *at = strstr(line, text); at; at = strstr(at + 1, text))
			count++;
	return count;
}

bool net_says(const char *command, const char *text)
{
	return net_count(command, text) > 0;
}

char *net_state(void)
{
	return net_run("ip -o link show; ip -o addr show; ip -4 route show table all; "
		       "ip -6 route show table all; ip -4 rule; ip -6 rule");
}

void net_assert_clean(const struct net *net)
{
	_cleanup_(freep) char *now = net_state();
	assert_string_equal(now, net->before);
}

int net_setup(void **state)
{
	struct net *net = calloc(1, sizeof(*net));
	assert_non_null(net);
	if (unshare(CLONE_NEWNET) < 0)
		fail_msg("no network namespace; as root in a container, this needs CAP_SYS_ADMIN");
	free(net_run("ip link set lo up"));
	assert_true(sd_event_new(&net->event) >= 0);
	net->before = net_state();
	*state = net;
	return 0;
}

int net_teardown(void **state)
{
	struct net *net = *state;
	sd_event_unref(net->event);
	free(net->before);
	free(net);
	return 0;
}

void net_changed(void *data)
{
	struct net *net = data;
	net->changes++;
}

struct host_options net_options(void)
{
	return (struct host_options){
		.interface = "mutun0",
		.table = NET_TABLE,
		.rule_priority = NET_PRIORITY,
		.mark = NET_MARK,
		.queues = 2,
		.mtu = 1400,
	};
}

struct host *net_host(struct net *net)
{
	struct host_options options = net_options();
	struct host *host = NULL;
	struct error error = {0};
	char text[ERROR_TEXT_MAX];
	if (host_new(net->event, &options, net_changed, net, &host, &error) < 0)
		fail_msg("%s", error_text(&error, text, sizeof(text)));
	return host;
}

void net_loop(struct net *net, unsigned ms)
{
	uint64_t end = clock_ms() + ms;
	for (uint64_t now = clock_ms(); now < end; now = clock_ms())
		assert_true(sd_event_run(net->event, (end - now) * 1000) >= 0);
}

struct prefix net_prefix(const char *text)
{
	struct prefix prefix = {0};
	char addr[ADDR_TEXT_MAX];
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	assert_true(length < sizeof(addr));
	memcpy(addr, text, length);
	addr[length] = 0;
	assert_int_equal(addr_parse(addr, &prefix.addr), 0);
	prefix.length = (uint8_t)(slash ? strtoul(slash + 1, NULL, 10) : ADDR_BITS(&prefix.addr));
	return prefix;
}
