// SPDX-License-Identifier: Apache-2.0

#include "daemon/cmd_policy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "daemon/arguments.h"
#include "daemon/ask.h"
#include "daemon/both_ends.h"
#include "daemon/command.h"
#include "daemon/config.h"
#include "daemon/report_explain.h"
#include "server/policy_digest.h"
#include "tun/rule.h"

#define SERVICE_MAX  64
#define DIGEST_SHOWN 12

// --- check

static json_t *errors_report(const struct config_errors *errors)
{
	json_t *array = json_array();
	for (size_t i = 0; errors && i < config_errors_count(errors); i++) {
		const struct error *error = config_errors_at(errors, i);
		json_array_append_new(array, json_pack("{s:s,s:s,s:s,s:s}", "where", error->where,
						       "what", error->what, "expected",
						       error->expected, "remedy", error->remedy));
	}
	return array;
}

static void print_errors(const struct config_errors *errors, const char *before)
{
	char text[ERROR_TEXT_MAX];
	for (size_t i = 0; errors && i < config_errors_count(errors); i++)
		fprintf(stderr, "%s%s\n", before,
			error_text(config_errors_at(errors, i), text, sizeof(text)));
}

static int check_json(const struct config *config, const struct config_errors *errors)
{
	json_t *result = json_pack("{s:i,s:b,s:o,s:o}", "schema", COMMAND_SCHEMA, "ok",
				   config != NULL, "errors", errors_report(errors), "warnings",
				   errors_report(config ? config->warnings : NULL));
	char digest[POLICY_DIGEST_SIZE];
	if (config && policy_digest(config->policy.model, digest) == 0) {
		json_object_set_new(result, "rules",
				    json_integer(config->policy.model->rule_count));
		json_object_set_new(result, "inbound",
				    json_integer(config->policy.model->inbound_count));
		json_object_set_new(result, "tests", json_integer(config->policy.trial_count));
		json_object_set_new(result, "digest", json_string(digest));
	}
	arguments_print(result);
	json_decref(result);
	return config ? COMMAND_DONE : COMMAND_REFUSED;
}

static int check_text(const char *path, const struct config *config,
		      const struct config_errors *errors)
{
	char digest[POLICY_DIGEST_SIZE];
	if (!config) {
		print_errors(errors, "");
		return COMMAND_REFUSED;
	}
	print_errors(config->warnings, "warning: ");
	if (!config->policy.enabled)
		fprintf(stderr, "warning: %s: there is no policy in it\n", path);
	if (policy_digest(config->policy.model, digest) < 0)
		return COMMAND_REFUSED;
	printf("%s: ok: %u rules, %u inbound, %u tests passed, digest %.*s\n", path,
	       config->policy.model->rule_count, config->policy.model->inbound_count,
	       config->policy.trial_count, DIGEST_SHOWN, digest);
	return COMMAND_DONE;
}

int cmd_policy_check(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {0}};
	_cleanup_(config_putp) struct config *config = NULL;
	_cleanup_(config_errors_freep) struct config_errors *errors = NULL;
	struct arguments arguments;
	int r = arguments_read(argc, argv, options, 1, &arguments);
	if (r)
		return r;
	if (!arguments.words[0])
		return arguments_usage("policy check", "which file?", "");
	if (config_load_policy(arguments.words[0], &config, &errors) == -ENOMEM) {
		struct error error;
		error_set(&error, ENOMEM, "out of memory");
		return arguments_refused(&error);
	}
	return arguments.json ? check_json(config, errors)
			      : check_text(arguments.words[0], config, errors);
}

// --- explain

// "\"eng to staging\" (policy.conf:34)".
static const char *rule_text(const json_t *rule, char *text, size_t size)
{
	const char *name = ask_text(rule, "name");
	if (*name)
		snprintf(text, size, "\"%s\" (%s)", name, ask_text(rule, "place"));
	else
		snprintf(text, size, "%s", ask_text(rule, "place"));
	return text;
}

static void print_end(const char *what, const json_t *end)
{
	const char *identity = ask_text(end, "identity"), *issuer = ask_text(end, "issuer");
	const json_t *units = json_object_get(end, "units");
	size_t i;
	json_t *unit;
	const char *address = ask_text(end, "address");
	const json_t *connected = json_object_get(end, "connected");
	printf("%-8s %s%s%s", what, identity, *identity && *address ? ", " : "", address);
	if (*identity && json_is_boolean(connected))
		printf(", %s", json_is_true(connected) ? "connected" : "not connected");
	if (*issuer)
		printf(", issuer %s", issuer);
	json_array_foreach (units, i, unit)
		printf(", unit %s", json_string_value(unit));
	if (json_is_true(json_object_get(end, "hardware")))
		printf(", key in hardware");
	putchar('\n');
}

static void print_matched(const char *what, const json_t *matched)
{
	const char *word = ask_text(matched, "word"), *entry = ask_text(matched, "entry");
	bool same = !*entry || strncmp(word, entry, strlen(word)) == 0;
	printf("         %s: %s%s%s%s\n", what, word, same ? "" : " (", same ? "" : entry,
	       same ? "" : ")");
}

static void print_near(const json_t *near)
{
	static const struct {
		const char *differs, *words;
	} words[] = {
		{"from", "allows it, but not from there"},
		{"to", "allows it, but not to there"},
		{"service", "matches both ends, but does not allow this service"},
		{"time", "would allow it, but does not hold at this time"},
	};
	char text[512];
	size_t i;
	json_t *rule;
	json_array_foreach (near, i, rule)
		for (unsigned j = 0; j < sizeof(words) / sizeof(words[0]); j++)
			if (strcmp(words[j].differs, ask_text(rule, "differs")) == 0)
				printf("near:    rule %s %s\n", rule_text(rule, text, sizeof(text)),
				       words[j].words);
}

static void print_explanation(const json_t *answer)
{
	const json_t *rule = json_object_get(answer, "rule"), *next;
	const char *verdict = ask_text(answer, "verdict");
	char text[512];
	bool allowed = strcmp(verdict, "allow") == 0;
	print_end("from:", json_object_get(answer, "from"));
	print_end("to:", json_object_get(answer, "to"));
	printf("service: %s, at %s\n", ask_text(answer, "service"), ask_text(answer, "at"));
	printf("verdict: %s", allowed			       ? "ALLOWED"
			      : strcmp(verdict, "reject") == 0 ? "REJECTED"
							       : "DROPPED");
	if (json_is_object(rule)) {
		printf(" by rule %s\n", rule_text(rule, text, sizeof(text)));
		print_matched("from", json_object_get(answer, "from_matched"));
		print_matched("to", json_object_get(answer, "to_matched"));
		printf("         service: %s\n", ask_text(answer, "service_matched"));
		if (json_is_true(json_object_get(answer, "only_own")) &&
		    json_is_null(json_object_get(answer, "to_own")))
			puts("         if that is an address of this node; what is behind it is refused");
		next = json_object_get(answer, "next_rule");
		printf("without: %s%s%s\n",
		       strcmp(ask_text(answer, "next_verdict"), "allow") == 0 ? "allowed"
									      : "refused",
		       json_is_object(next) ? " by rule " : ": no rule allows it",
		       json_is_object(next) ? rule_text(next, text, sizeof(text)) : "");
	} else {
		printf(": no rule allows it\n");
	}
	print_near(json_object_get(answer, "near"));
}

// "10.20.0.5:443" into address and port, where --to has one.
static void split_port(char *to, const char **port)
{
	struct endpoint endpoint;
	char *colon = strrchr(to, ':');
	if (!*port && endpoint_parse(to, &endpoint) == 0 && colon) {
		*port = colon + 1;
		*colon = '\0';
		if (to[0] == '[' && colon[-1] == ']') {
			colon[-1] = '\0';
			memmove(to, to + 1, strlen(to));
		}
	}
}

static const char *service_of(const struct arguments *arguments, const char *port,
			      char text[SERVICE_MAX])
{
	const char *protocol = arguments->protocol ? arguments->protocol : "tcp";
	if (arguments->words[0])
		return arguments->words[0];
	if (!port && !arguments->protocol)
		return NULL;
	snprintf(text, SERVICE_MAX, "%s%s%s", protocol, port ? "/" : "", port ? port : "");
	return text;
}

static json_t *ask_file(const char *path, const json_t *request, struct error *error)
{
	_cleanup_(config_putp) struct config *config = NULL;
	_cleanup_(config_errors_freep) struct config_errors *errors = NULL;
	if (config_load_policy(path, &config, &errors) == 0)
		return report_explain(config, NULL, request, error);
	print_errors(errors, "");
	error_set(error, EINVAL, "%s cannot be used", path);
	return NULL;
}

// What the other end says, of a packet now; it is not asked about a file or another time.
static void ask_other_end(const struct arguments *arguments, const char *service, json_t *answer)
{
	const char *from = ask_text(json_object_get(answer, "from"), "address");
	const char *to = ask_text(json_object_get(answer, "to"), "address");
	struct both_ends question = {.from = from, .to = to, .service = service};
	struct error error;
	if (arguments->file || arguments->at || arguments->inbound || !*from || !*to)
		return;
	json_t *ends = both_ends_ask(&question, &error);
	if (ends)
		json_object_set_new(answer, "ends", ends);
}

// Without --from: this node itself, which its gateway lets something do or not.
static int explain_own(const struct arguments *arguments, const char *to, const char *service)
{
	struct both_ends question = {.to = to, .service = service};
	struct error error = {0};
	_cleanup_(json_decrefp) json_t *ends = both_ends_ask(&question, &error);
	if (!ends)
		return ask_failed(&error);
	if (arguments->json) {
		json_t *answer = json_pack("{s:i,s:O}", "schema", COMMAND_SCHEMA, "ends", ends);
		arguments_print(answer);
		json_decref(answer);
	} else {
		both_ends_print(ends, true);
	}
	return both_ends_allow(ends) ? COMMAND_DONE : COMMAND_REFUSED;
}

static int explain(const struct arguments *arguments, const char *service, json_t *request)
{
	_cleanup_(json_decrefp) json_t *answer = NULL;
	struct error error = {0};
	if (arguments->file) {
		answer = ask_file(arguments->file, request, &error);
		json_decref(request);
	} else {
		ask(request, &answer, &error);
	}
	if (!answer)
		return ask_failed(&error);
	ask_other_end(arguments, service, answer);
	const json_t *ends = json_object_get(answer, "ends");
	if (arguments->json) {
		arguments_print(answer);
	} else {
		print_explanation(answer);
		both_ends_print(ends, false);
	}
	bool allowed = strcmp(ask_text(answer, "verdict"), "allow") == 0 && both_ends_allow(ends);
	return allowed ? COMMAND_DONE : COMMAND_REFUSED;
}

int cmd_policy_explain(int argc, char **argv)
{
	static const struct option options[] = {
		{"from", required_argument, NULL, 'F'},	 {"to", required_argument, NULL, 'T'},
		{"proto", required_argument, NULL, 'P'}, {"port", required_argument, NULL, 'O'},
		{"unit", required_argument, NULL, 'U'},	 {"issuer", required_argument, NULL, 'I'},
		{"hardware", no_argument, NULL, 'H'},	 {"at", required_argument, NULL, 'A'},
		{"inbound", no_argument, NULL, 'B'},	 {"file", required_argument, NULL, 'L'},
		{"json", no_argument, NULL, 'j'},	 {0}};
	struct arguments arguments;
	char text[SERVICE_MAX];
	int r = arguments_read(argc, argv, options, 1, &arguments);
	if (r)
		return r;
	if (arguments.from_count > 1 || !arguments.to)
		return arguments_usage("policy explain",
				       "one --to is needed, and one --from at most", "");
	if (arguments.from_count == 0 && (arguments.file || arguments.at || arguments.inbound))
		return arguments_usage("policy explain", "from whom? --from is needed", "");
	_cleanup_(freep) char *to = strdup(arguments.to);
	const char *port = arguments.port;
	if (to)
		split_port(to, &port);
	const char *service = service_of(&arguments, port, text);
	if (!service)
		return arguments_usage("policy explain", "which service? For example: tcp/443", "");
	if (arguments.from_count == 0)
		return explain_own(&arguments, to, service);
	return explain(&arguments, service,
		       json_pack("{s:s,s:s,s:s,s:s,s:s*,s:s*,s:s*,s:b,s:b}", "command",
				 "policy-explain", "from", arguments.from[0], "to", to, "service",
				 service, "unit", arguments.unit, "issuer", arguments.issuer, "at",
				 arguments.at, "hardware", arguments.hardware, "inbound",
				 arguments.inbound));
}
