// SPDX-License-Identifier: Apache-2.0

#include "daemon/arguments.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "daemon/command.h"

#define HOUR_S	       3600
#define DAY_S	       86400
#define NOT_BEFORE_S   (-300)
#define HOST_MAX       254 // RFC 1035, 2.3.4, and a NUL
#define DEFAULT_PORT   443
#define UNIT_COUNT_MAX INT32_MAX // what is too long for a certificate, pki/ca.h says

int arguments_usage(const char *command, const char *what, const char *which)
{
	fprintf(stderr, "mutun %s: %s%s\nSee: mutun help %s\n", command, what, which, command);
	return COMMAND_USAGE;
}

int arguments_refused(const struct error *error)
{
	char text[ERROR_TEXT_MAX];

	fprintf(stderr, "mutun: %s\n", error_text(error, text, sizeof(text)));
	return COMMAND_REFUSED;
}

void arguments_print(const json_t *result)
{
	json_dumpf(result, stdout, JSON_INDENT(2));
	putchar('\n');
}

static int read_number(const char *text, int64_t min, int64_t max, int64_t *ret)
{
	char *end;

	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (errno || end == text || *end || strchr(" \t\n\v\f\r+", *text) || value < min ||
	    value > max)
		return -EINVAL;
	*ret = value;
	return 0;
}

// "90s", "15m", "1h", "7d".
static int read_duration(const char *text, int64_t *ret)
{
	static const struct {
		char letter;
		int64_t unit_s;
	} units[] = {{'s', 1}, {'m', 60}, {'h', HOUR_S}, {'d', DAY_S}};
	char number[16];
	size_t size = strlen(text);
	int64_t count;

	if (size < 2 || size > sizeof(number))
		return -EINVAL;
	memcpy(number, text, size - 1);
	number[size - 1] = '\0';
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (text[size - 1] != units[i].letter)
			continue;
		if (read_number(number, 1, UNIT_COUNT_MAX, &count) < 0)
			return -EINVAL;
		*ret = count * units[i].unit_s;
		return 0;
	}
	return -EINVAL;
}

static int read_lifetime(struct arguments *arguments, int64_t unit_s)
{
	int64_t count;

	if (arguments->lifetime_s || read_number(optarg, 1, UNIT_COUNT_MAX, &count) < 0)
		return -EINVAL;
	arguments->lifetime_s = count * unit_s;
	return 0;
}

struct plain {
	char letter;
	size_t at; // in struct arguments
};

// Options that are a text.
static const struct plain texts[] = {
	{'D', offsetof(struct arguments, domain)},
	{'i', offsetof(struct arguments, identity)},
	{'n', offsetof(struct arguments, dns)},
	{'o', offsetof(struct arguments, out)},
	{'S', offsetof(struct arguments, server)},
	{'g', offsetof(struct arguments, gateway)},
	{'w', offsetof(struct arguments, state)},
	{'c', offsetof(struct arguments, config)},
	{'C', offsetof(struct arguments, csr)},
	{'y', offsetof(struct arguments, by)},
	{'k', offsetof(struct arguments, key)},
	{'u', offsetof(struct arguments, uri)},
	{'p', offsetof(struct arguments, passphrase_file)},
	{'K', offsetof(struct arguments, root_key)},
	{'N', offsetof(struct arguments, serial)},
	{'R', offsetof(struct arguments, reason)},
	{'T', offsetof(struct arguments, to)},
	{'P', offsetof(struct arguments, protocol)},
	{'O', offsetof(struct arguments, port)},
	{'U', offsetof(struct arguments, unit)},
	{'I', offsetof(struct arguments, issuer)},
	{'A', offsetof(struct arguments, at)},
	{'L', offsetof(struct arguments, file)},
};

// Those that are said or not.
static const struct plain flags[] = {
	{'r', offsetof(struct arguments, reuse_key)}, {'x', offsetof(struct arguments, no_start)},
	{'j', offsetof(struct arguments, json)},      {'v', offsetof(struct arguments, valid)},
	{'W', offsetof(struct arguments, now)},	      {'f', offsetof(struct arguments, force)},
	{'H', offsetof(struct arguments, hardware)},  {'B', offsetof(struct arguments, inbound)},
	{'E', offsetof(struct arguments, plan)},
};

static bool read_plain(int option, struct arguments *arguments)
{
	char *base = (char *)arguments;

	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].letter == option) {
			*(const char **)(void *)(base + texts[i].at) = optarg;
			return true;
		}
	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (flags[i].letter == option) {
			*(bool *)(base + flags[i].at) = true;
			return true;
		}
	return false;
}

static int read_option(int option, struct arguments *arguments)
{
	switch (option) {
	case 'd':
		return read_lifetime(arguments, DAY_S);
	case 'h':
		return read_lifetime(arguments, HOUR_S);
	case 's':
		return read_lifetime(arguments, 1);
	case 'F':
		if (arguments->from_count == ARGUMENTS_FROM_MAX)
			return -EINVAL;
		arguments->from[arguments->from_count++] = optarg;
		return 0;
	case 'Z':
		return read_number(optarg, 1, DAY_S, &arguments->confirm_s);
	case 't':
		return read_duration(optarg, &arguments->ttl_s);
	case 'b':
		return read_number(optarg, -UNIT_COUNT_MAX, UNIT_COUNT_MAX,
				   &arguments->not_before_s);
	default:
		return read_plain(option, arguments) ? 0 : -EINVAL;
	}
}

int arguments_read(int argc, char **argv, const struct option *options, int words,
		   struct arguments *arguments)
{
	int option;

	*arguments = (struct arguments){.not_before_s = NOT_BEFORE_S};
	opterr = 0;
	optind = 1;
	while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		const char *last = argv[optind - 1];
		const char letter[] = {'-', (char)optopt, '\0'};
		if (option == ':')
			return arguments_usage(argv[0], "a value is missing after ", last);
		if (option == '?')
			return arguments_usage(argv[0], "what is ",
					       strncmp(last, "--", 2) == 0 ? last : letter);
		if (read_option(option, arguments) < 0)
			return arguments_usage(
				argv[0],
				"not a whole number in range, or a second lifetime: ", optarg);
	}
	if (optind + words < argc)
		return arguments_usage(argv[0], "one word too many: ", argv[optind + words]);
	for (int i = 0; i < words && optind + i < argc; i++)
		arguments->words[i] = argv[optind + i];
	return COMMAND_DONE;
}

int arguments_need_directory(const char *command, const struct arguments *arguments)
{
	return arguments->words[0]
		       ? COMMAND_DONE
		       : arguments_usage(command, "the directory of the CA is missing", "");
}

char *arguments_identity(const char *domain, const char *text)
{
	char *identity;

	if (strstr(text, "://"))
		return strdup(text);
	return asprintf(&identity, "spiffe://%s/%s", domain, text) < 0 ? NULL : identity;
}

static bool is_host(const char *text)
{
	struct addr addr;
	size_t size = strlen(text);

	if (addr_parse(text, &addr) == 0)
		return true;
	return size > 0 && size < HOST_MAX && text[0] != '-' &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") ==
		       size;
}

int arguments_server(const char *text, char **ret, struct error *error)
{
	char host[HOST_MAX];
	uint16_t port = DEFAULT_PORT;

	if (hostport_parse(text, host, sizeof(host), &port) < 0)
		snprintf(host, sizeof(host), "%s", strlen(text) < sizeof(host) ? text : "");
	if (!is_host(host) || port == 0) {
		error_set(error, EINVAL, "\"%.80s\" is no server", text);
		return error_expected(
			error, "a name or address with a port, such as vpn.corp.example:443");
	}
	bool bare = strchr(host, ':'); // an IPv6 address
	return asprintf(ret, "%s%s%s:%u", bare ? "[" : "", host, bare ? "]" : "", port) < 0
		       ? error_set(error, ENOMEM, "out of memory")
		       : 0;
}
