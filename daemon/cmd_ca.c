// SPDX-License-Identifier: Apache-2.0

#include "daemon/cmd_ca.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <jansson.h>
#include <libsmartcols.h>
#include <openssl/x509.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "daemon/command.h"
#include "pki/ca.h"
#include "pki/certificate.h"
#include "pki/pem.h"

#define HOUR_S	       3600
#define DAY_S	       86400
#define LIFETIME_S     DAY_S
#define NOT_BEFORE_S   (-300)
#define UNIT_COUNT_MAX INT32_MAX // what is too long for a certificate, pki/ca.h says
#define SCHEMA	       1	 // of all answers in JSON
#define TIME_TEXT_MAX  40

DEFINE_CLEANUP(X509 *, X509_free);

// What the options of all commands here say.
struct arguments {
	const char *directory;
	const char *domain, *identity, *dns, *out;
	int64_t lifetime_s, not_before_s;
	bool reuse_key, json;
};

static int usage(const char *command, const char *what, const char *which)
{
	fprintf(stderr, "mutun %s: %s%s\nSee: mutun help %s\n", command, what, which, command);
	return COMMAND_USAGE;
}

static int refused(const struct error *error)
{
	char text[ERROR_TEXT_MAX];

	fprintf(stderr, "mutun: %s\n", error_text(error, text, sizeof(text)));
	return COMMAND_REFUSED;
}

static void print_json(const json_t *result)
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

static int read_lifetime(struct arguments *arguments, int64_t unit_s)
{
	int64_t count;

	if (arguments->lifetime_s || read_number(optarg, 1, UNIT_COUNT_MAX, &count) < 0)
		return -EINVAL;
	arguments->lifetime_s = count * unit_s;
	return 0;
}

static int read_option(int option, struct arguments *arguments)
{
	switch (option) {
	case 'D':
		arguments->domain = optarg;
		return 0;
	case 'i':
		arguments->identity = optarg;
		return 0;
	case 'n':
		arguments->dns = optarg;
		return 0;
	case 'o':
		arguments->out = optarg;
		return 0;
	case 'd':
		return read_lifetime(arguments, DAY_S);
	case 'h':
		return read_lifetime(arguments, HOUR_S);
	case 's':
		return read_lifetime(arguments, 1);
	case 'b':
		return read_number(optarg, -UNIT_COUNT_MAX, UNIT_COUNT_MAX,
				   &arguments->not_before_s);
	case 'r':
		arguments->reuse_key = true;
		return 0;
	case 'j':
		arguments->json = true;
		return 0;
	default:
		return -EINVAL;
	}
}

// Reads options and the one word, which is the CA's directory. COMMAND_DONE or, said already, COMMAND_USAGE.
static int read_arguments(int argc, char **argv, const struct option *options,
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
			return usage(argv[0], "a value is missing after ", last);
		if (option == '?')
			return usage(argv[0], "what is ",
				     strncmp(last, "--", 2) == 0 ? last : letter);
		if (read_option(option, arguments) < 0)
			return usage(argv[0],
				     "not a whole number in range, or a second lifetime: ", optarg);
	}
	if (optind == argc)
		return usage(argv[0], "the directory of the CA is missing", "");
	if (optind + 1 < argc)
		return usage(argv[0], "one word too many: ", argv[optind + 1]);
	arguments->directory = argv[optind];
	return COMMAND_DONE;
}

int cmd_ca_init(int argc, char **argv)
{
	static const struct option options[] = {
		{"domain", required_argument, NULL, 'D'}, {"json", no_argument, NULL, 'j'}, {0}};
	struct arguments arguments;
	struct error error = {0};

	int r = read_arguments(argc, argv, options, &arguments);
	if (r)
		return r;
	if (!arguments.domain)
		return usage(argv[0], "--domain is missing", "");
	if (ca_init(arguments.directory, arguments.domain, &error) < 0)
		return refused(&error);
	if (arguments.json) {
		_cleanup_(json_decrefp) json_t *result =
			json_pack("{s:i,s:s,s:s,s:o}", "schema", SCHEMA, "directory",
				  arguments.directory, "domain", arguments.domain, "trust",
				  json_sprintf("%s/trust.crt", arguments.directory));
		print_json(result);
		return COMMAND_DONE;
	}
	printf("%s: a CA for %s\n"
	       "  trust.crt    give it to every node\n"
	       "  root.key     move it to a safe place: issuing does not need it\n"
	       "  issuing.key  signs certificates for 90 days from now; keep it secret\n"
	       "Next: mutun ca issue %s --identity gateway/NAME --out NAME\n",
	       arguments.directory, arguments.domain, arguments.directory);
	return COMMAND_DONE;
}

// An identity without a scheme is a path in the CA's trust domain.
static char *complete_identity(const struct ca *ca, const char *text)
{
	char *identity;

	if (strstr(text, "://"))
		return strdup(text);
	return asprintf(&identity, "spiffe://%s/%s", ca_domain(ca), text) < 0 ? NULL : identity;
}

// What was issued is said from what was written.
static int print_issued(const struct ca_request *request, bool json, struct error *error)
{
	_cleanup_(X509_freep) X509 *leaf = NULL;
	char serial[SERIAL_TEXT_MAX];
	char words[32];
	time_t from = 0, to = 0;

	int r = pem_read_certificate(request->certificate_path, &leaf, error);
	if (r < 0)
		return r;
	certificate_lifetime(leaf, &from, &to);
	certificate_serial(leaf, serial);
	if (json) {
		_cleanup_(json_decrefp) json_t *result =
			json_pack("{s:i,s:s,s:s,s:I,s:I,s:s,s:s}", "schema", SCHEMA, "identity",
				  request->identity, "serial", serial, "not_before",
				  (json_int_t)from, "not_after", (json_int_t)to, "certificate",
				  request->certificate_path, "key", request->key_path);
		print_json(result);
		return 0;
	}
	printf("%s: %s, serial %s, expires in %s\n%s: %s\n", request->certificate_path,
	       request->identity, serial, clock_words(to - clock_wall(), words, sizeof(words)),
	       request->key_path, request->reuse_key ? "its key, as before" : "its key, new");
	return 0;
}

static int issue(const struct arguments *arguments, struct error *error)
{
	_cleanup_(ca_closep) struct ca *ca = NULL;
	_cleanup_(freep) char *certificate_path = NULL;
	_cleanup_(freep) char *key_path = NULL;

	int r = ca_open(arguments->directory, &ca, error);
	if (r < 0)
		return r;
	_cleanup_(freep) char *identity = complete_identity(ca, arguments->identity);
	if (!identity || asprintf(&certificate_path, "%s.crt", arguments->out) < 0 ||
	    asprintf(&key_path, "%s.key", arguments->out) < 0)
		return error_set(error, ENOMEM, "out of memory");
	struct ca_request request = {
		.identity = identity,
		.dns = arguments->dns,
		.lifetime_s = arguments->lifetime_s ? arguments->lifetime_s : LIFETIME_S,
		.not_before_s = arguments->not_before_s,
		.certificate_path = certificate_path,
		.key_path = key_path,
		.reuse_key = arguments->reuse_key,
	};
	r = ca_issue(ca, &request, error);
	return r < 0 ? r : print_issued(&request, arguments->json, error);
}

int cmd_ca_issue(int argc, char **argv)
{
	static const struct option options[] = {{"identity", required_argument, NULL, 'i'},
						{"dns", required_argument, NULL, 'n'},
						{"days", required_argument, NULL, 'd'},
						{"hours", required_argument, NULL, 'h'},
						{"seconds", required_argument, NULL, 's'},
						{"out", required_argument, NULL, 'o'},
						{"reuse-key", no_argument, NULL, 'r'},
						{"not-before-offset", required_argument, NULL, 'b'},
						{"json", no_argument, NULL, 'j'},
						{0}};
	struct arguments arguments;
	struct error error = {0};

	int r = read_arguments(argc, argv, options, &arguments);
	if (r)
		return r;
	if (!arguments.identity)
		return usage(argv[0], "--identity is missing", "");
	if (!arguments.out || !*arguments.out)
		return usage(argv[0], "--out is missing", "");
	return issue(&arguments, &error) < 0 ? refused(&error) : COMMAND_DONE;
}

static int collect(const struct ca_entry *entry, void *data)
{
	json_t *object =
		json_pack("{s:s,s:s,s:I,s:I,s:I}", "serial", entry->serial, "identity",
			  entry->identity, "issued", (json_int_t)entry->issued, "not_before",
			  (json_int_t)entry->not_before, "not_after", (json_int_t)entry->not_after);

	return json_array_append_new(data, object) < 0 ? -ENOMEM : 0;
}

static const char *time_text(json_int_t seconds, char text[TIME_TEXT_MAX])
{
	time_t when = (time_t)seconds;
	struct tm parts;

	if (!localtime_r(&when, &parts) || !strftime(text, TIME_TEXT_MAX, "%F %T %Z", &parts))
		text[0] = '\0';
	return text;
}

static const char *state_text(const json_t *entry, char text[TIME_TEXT_MAX])
{
	time_t now = clock_wall();
	json_int_t from = json_integer_value(json_object_get(entry, "not_before"));
	json_int_t to = json_integer_value(json_object_get(entry, "not_after"));
	char words[32];

	if (to < now)
		snprintf(text, TIME_TEXT_MAX, "expired %s ago",
			 clock_words(now - to, words, sizeof(words)));
	else if (from > now)
		snprintf(text, TIME_TEXT_MAX, "valid in %s",
			 clock_words(from - now, words, sizeof(words)));
	else
		snprintf(text, TIME_TEXT_MAX, "expires in %s",
			 clock_words(to - now, words, sizeof(words)));
	return text;
}

static void print_table(const json_t *list)
{
	static const char *const columns[] = {"IDENTITY", "ISSUED", "EXPIRES", "STATE", "SERIAL"};
	struct libscols_table *table = scols_new_table();
	const json_t *entry;
	char text[TIME_TEXT_MAX];
	size_t i;

	for (size_t c = 0; c < sizeof(columns) / sizeof(columns[0]); c++)
		scols_table_new_column(table, columns[c], 0, 0);
	json_array_foreach (list, i, entry) {
		struct libscols_line *line = scols_table_new_line(table, NULL);
		const json_t *issued = json_object_get(entry, "issued");
		const json_t *expires = json_object_get(entry, "not_after");
		scols_line_set_data(line, 0, json_string_value(json_object_get(entry, "identity")));
		scols_line_set_data(line, 1, time_text(json_integer_value(issued), text));
		scols_line_set_data(line, 2, time_text(json_integer_value(expires), text));
		scols_line_set_data(line, 3, state_text(entry, text));
		scols_line_set_data(line, 4, json_string_value(json_object_get(entry, "serial")));
	}
	scols_print_table(table);
	scols_unref_table(table);
}

int cmd_ca_list(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {0}};
	_cleanup_(ca_closep) struct ca *ca = NULL;
	struct arguments arguments;
	struct error error = {0};

	int r = read_arguments(argc, argv, options, &arguments);
	if (r)
		return r;
	_cleanup_(json_decrefp) json_t *list = json_array();
	r = ca_open(arguments.directory, &ca, &error);
	if (r == 0)
		r = ca_list(ca, collect, list, &error);
	if (r == -ENOMEM && !error.what[0])
		error_set(&error, ENOMEM, "out of memory");
	if (r < 0)
		return refused(&error);
	if (arguments.json) {
		_cleanup_(json_decrefp) json_t *result =
			json_pack("{s:i,s:s,s:O}", "schema", SCHEMA, "domain", ca_domain(ca),
				  "certificates", list);
		print_json(result);
	} else if (json_array_size(list) == 0) {
		printf("No certificates yet. Next: mutun ca issue %s --identity gateway/NAME --out "
		       "NAME\n",
		       arguments.directory);
	} else {
		print_table(list);
	}
	return COMMAND_DONE;
}
