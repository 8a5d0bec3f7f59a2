// SPDX-License-Identifier: Apache-2.0

#include "daemon/cmd_trace.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "daemon/ask.h"
#include "daemon/command.h"
#include "daemon/inspect.h"

#define FOR_S 60u

struct tracing {
	struct inspect inspect;
	unsigned packets;
	json_int_t first_ns;
};

static const char *who(const json_t *line, const char *side)
{
	const char *identity = ask_text(line, side);
	return *identity ? identity : "here";
}

static void print_stage(const json_t *line, const char *stage)
{
	char rule[512];
	if (strcmp(stage, "received") == 0) {
		bool out = strcmp(ask_text(line, "way"), "out") == 0;
		const char *path = ask_text(line, "path");
		bool tcp = strcmp(ask_text(line, "over"), "tcp") == 0;
		const char *over = tcp ? "over TCP" : "over UDP";
		printf("  received  %s%s%s\n", out ? "from the TUN device" : over,
		       *path ? ", peer at " : "", path);
	} else if (strcmp(stage, "source") == 0) {
		printf("  source    %s belongs to %s\n", ask_text(line, "from_address"),
		       who(line, "from"));
	} else if (strcmp(stage, "routed") == 0) {
		printf("  routed    %s is %s\n", ask_text(line, "to_address"), who(line, "to"));
	} else if (strcmp(stage, "judged") == 0) {
		printf("  judged    flow %s, rule %s\n", ask_text(line, "flow"),
		       inspect_rule(line, rule, sizeof(rule)));
	} else if (strcmp(stage, "sent") == 0) {
		printf("  sent      %s\n",
		       *ask_text(line, "to") ? "sealed for the peer" : "written to the TUN device");
	} else {
		printf("  %s\n", stage);
	}
}

static void print_packet(const struct tracing *tracing, const json_t *line)
{
	double at_ms = (double)(ask_number(line, "at_ns") - tracing->first_ns) / 1e6;
	const json_t *stages = json_object_get(line, "stages");
	char rule[512];
	size_t i;
	json_t *stage;
	printf("%+.3f ms  ", at_ms);
	if (json_is_true(json_object_get(line, "read")))
		printf("%s:%lld -> %s, %lld bytes\n", ask_text(line, "from_address"),
		       (long long)ask_number(line, "from_port"), ask_text(line, "target"),
		       (long long)ask_number(line, "size"));
	else
		printf("a packet of %s\n", who(line, "from"));
	json_array_foreach (stages, i, stage)
		print_stage(line, json_string_value(stage));
	if (*ask_text(line, "stage")) {
		printf("  %-9s DROPPED: %s", ask_text(line, "stage"), ask_text(line, "reason"));
		if (*ask_text(line, "place"))
			printf(", rule %s", inspect_rule(line, rule, sizeof(rule)));
		putchar('\n');
	}
}

static bool on_line(const json_t *line, void *data)
{
	struct tracing *tracing = data;
	if (ask_lost(line))
		return true;
	if (tracing->packets++ == 0)
		tracing->first_ns = ask_number(line, "at_ns");
	if (tracing->inspect.json) {
		json_dumpf(line, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		print_packet(tracing, line);
	}
	fflush(stdout);
	return true;
}

int cmd_trace(int argc, char **argv)
{
	struct tracing tracing = {.packets = 0};
	struct error error;
	int r = inspect_read(argc, argv, "ftpPcsj", &tracing.inspect);
	if (r)
		return r;
	const struct inspect *inspect = &tracing.inspect;
	r = ask_feed(inspect_request("trace", inspect), inspect->for_s ? inspect->for_s : FOR_S,
		     on_line, &tracing, &error);
	if (r < 0)
		return ask_failed(&error);
	if (tracing.packets == 0 && !inspect->json)
		puts("no packet came by");
	return COMMAND_DONE;
}
