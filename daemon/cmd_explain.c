// SPDX-License-Identifier: Apache-2.0

#include "daemon/cmd_explain.h"

#include <stdio.h>

#include "base/error.h"
#include "daemon/ask.h"
#include "daemon/command.h"
#include "daemon/inspect.h"

static void print_end(const json_t *line)
{
	const char *end = inspect_text(line, "end"), *error = inspect_text(line, "error");
	char rule[512];
	printf("%s: ", end);
	if (*error) {
		printf("not known: %s\n", error);
		return;
	}
	printf("%s", json_is_true(json_object_get(line, "allow")) ? "passes" : "refused");
	if (*inspect_text(line, "place"))
		printf(", rule %s", inspect_rule(line, rule, sizeof(rule)));
	printf(" (%s)\n", inspect_text(line, "why"));
}

static bool on_line(const json_t *line, void *data)
{
	const struct inspect *inspect = data;
	if (!inspect->json) {
		print_end(line);
		return true;
	}
	json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	return true;
}

int cmd_explain(int argc, char **argv)
{
	struct inspect inspect;
	struct error error;
	int r = inspect_read(argc, argv, "ftpPj", &inspect);
	if (r)
		return r;
	if (!inspect.to) {
		fprintf(stderr, "mutun %s: where to? See: mutun %s --help\n", argv[0], argv[0]);
		return COMMAND_USAGE;
	}
	r = ask_feed(inspect_request("explain", &inspect), 0, on_line, &inspect, &error);
	return r < 0 ? inspect_failed(&error) : COMMAND_DONE;
}
