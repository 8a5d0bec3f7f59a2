// SPDX-License-Identifier: Apache-2.0

#include "daemon/inspect.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "daemon/ask.h"
#include "daemon/command.h"

static const struct option options[] = {
	{"from", required_argument, NULL, 'f'},
	{"to", required_argument, NULL, 't'},
	{"port", required_argument, NULL, 'p'},
	{"proto", required_argument, NULL, 'P'},
	{"denied", no_argument, NULL, 'd'},
	{"follow", no_argument, NULL, 'F'},
	{"limit", required_argument, NULL, 'l'},
	{"count", required_argument, NULL, 'c'},
	{"for", required_argument, NULL, 's'},
	{"json", no_argument, NULL, 'j'},
	{0},
};

static int usage(const char *command, const char *what, const char *which)
{
	fprintf(stderr, "mutun %s: %s \"%s\"? See: mutun %s --help\n", command, what, which,
		command);
	return COMMAND_USAGE;
}

static bool read_number(const char *text, int64_t min, int64_t max, int64_t *ret)
{
	char *end;
	errno = 0;
	long long number = strtoll(text, &end, 10);
	if (errno || end == text || *end || number < min || number > max)
		return false;
	*ret = number;
	return true;
}

// false: the number is none.
static bool take_option(int letter, struct inspect *ret)
{
	int64_t number = 0;
	switch (letter) {
	case 'f':
		ret->from = optarg;
		return true;
	case 't':
		ret->to = optarg;
		return true;
	case 'P':
		ret->protocol = optarg;
		return true;
	case 'p':
		return read_number(optarg, 0, UINT16_MAX, &ret->port);
	case 'd':
		return ret->denied = true;
	case 'F':
		return ret->follow = true;
	case 'j':
		return ret->json = true;
	case 'l':
		return read_number(optarg, 1, INT32_MAX, &number) &&
		       (ret->limit = (unsigned)number);
	case 'c':
		return read_number(optarg, 1, INT32_MAX, &number) &&
		       (ret->count = (unsigned)number);
	default:
		return read_number(optarg, 1, 86400, &number) && (ret->for_s = (unsigned)number);
	}
}

int inspect_read(int argc, char **argv, const char *allowed, struct inspect *ret)
{
	int letter;
	*ret = (struct inspect){.port = -1};
	optind = 1;
	opterr = 0;
	while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (letter == '?' || !strchr(allowed, letter))
			return usage(argv[0], "what is", argv[optind - 1]);
		if (!take_option(letter, ret))
			return usage(argv[0], "what number is", optarg);
	}
	return optind < argc ? usage(argv[0], "what is", argv[optind]) : COMMAND_DONE;
}

json_t *inspect_request(const char *command, const struct inspect *inspect)
{
	json_t *request =
		json_pack("{s:s,s:s*,s:s*,s:s*,s:b,s:b,s:i}", "command", command, "from",
			  inspect->from, "to", inspect->to, "protocol", inspect->protocol, "denied",
			  inspect->denied, "follow", inspect->follow, "count", (int)inspect->count);
	if (request && inspect->port >= 0)
		json_object_set_new(request, "port", json_integer(inspect->port));
	return request;
}

const char *inspect_rule(const json_t *line, char *text, size_t size)
{
	const char *name = ask_text(line, "rule"), *place = ask_text(line, "place");
	snprintf(text, size, "%s", *place ? place : "-");
	if (*name)
		snprintf(text, size, "%s \"%s\"", place, name);
	return text;
}
