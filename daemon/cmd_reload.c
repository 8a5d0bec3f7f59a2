// SPDX-License-Identifier: Apache-2.0

#include "daemon/cmd_reload.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "daemon/arguments.h"
#include "daemon/ask.h"
#include "daemon/command.h"
#include "daemon/plan.h"

#define DIGEST_SHOWN 12

static int failed(const struct error *error)
{
	int r = arguments_refused(error);
	return error->code == ECONNREFUSED ? COMMAND_NO_DAEMON : r;
}

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));
	return text ? text : "";
}

static json_int_t number_of(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

// --- the plan, line by line

static void print_policy(const json_t *policy)
{
	const json_t *rules = json_object_get(policy, "rules");
	const json_t *inbound = json_object_get(policy, "inbound");
	const json_t *digest = json_object_get(policy, "digest");
	if (!json_is_true(json_object_get(policy, "changes"))) {
		puts("policy: as it is");
		return;
	}
	printf("policy: %" JSON_INTEGER_FORMAT " rules in place of %" JSON_INTEGER_FORMAT
	       ", %" JSON_INTEGER_FORMAT " inbound in place of %" JSON_INTEGER_FORMAT
	       ", digest %.*s in place of %.*s\n",
	       json_integer_value(json_array_get(rules, 1)),
	       json_integer_value(json_array_get(rules, 0)),
	       json_integer_value(json_array_get(inbound, 1)),
	       json_integer_value(json_array_get(inbound, 0)), DIGEST_SHOWN,
	       json_string_value(json_array_get(digest, 1)), DIGEST_SHOWN,
	       json_string_value(json_array_get(digest, 0)));
}

static void print_session(const json_t *session)
{
	static const struct {
		const char *change, *words;
	} changes[] = {
		{"ends", "ends: its identity is not admitted any more"},
		{"moves", "goes on with other addresses"},
		{"told", "is told of other routes, name servers, sizes or rates"},
		{"routes", "goes on"},
	};
	const char *change = text_of(session, "change");
	printf("session %s ", text_of(session, "identity"));
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		if (strcmp(change, changes[i].change) == 0)
			fputs(changes[i].words, stdout);
	if (number_of(session, "gained") || number_of(session, "lost"))
		printf("; networks behind it: %" JSON_INTEGER_FORMAT " more, %" JSON_INTEGER_FORMAT
		       " fewer",
		       number_of(session, "gained"), number_of(session, "lost"));
	putchar('\n');
}

static void print_link(const json_t *link)
{
	const char *change = text_of(link, "change");
	printf("link %s %s\n", text_of(link, "name"),
	       strcmp(change, "anew") == 0 ? "is made anew" : change);
}

static void print_flow(const json_t *flow)
{
	const char *to = text_of(flow, "to");
	const char *address = text_of(flow, "address");
	const json_t *rule = json_object_get(flow, "rule");
	bool named = strcmp(to, address) != 0;
	printf("flow %s -> %s%s%s%s %s is cut: ", text_of(flow, "from"), to, named ? " (" : "",
	       named ? address : "", named ? ")" : "", text_of(flow, "service"));
	if (json_is_string(rule))
		printf("rule %s\n", json_string_value(rule));
	else
		puts("no rule allows it");
}

static void print_more(json_int_t count, const char *what)
{
	if (count > PLAN_LIST_MAX)
		printf("... and %" JSON_INTEGER_FORMAT " more %s\n", count - PLAN_LIST_MAX, what);
}

static void print_sum(const json_t *sum)
{
	print_more(number_of(sum, "ends"), "sessions that end");
	print_more(number_of(sum, "moves"), "sessions with other addresses");
	print_more(number_of(sum, "told"), "sessions that are told");
	print_more(number_of(sum, "cut"), "flows that are cut");
	printf("of %" JSON_INTEGER_FORMAT " sessions %" JSON_INTEGER_FORMAT
	       " end, %" JSON_INTEGER_FORMAT " get other addresses, %" JSON_INTEGER_FORMAT
	       " are told of changes, %" JSON_INTEGER_FORMAT
	       " have to prove their identity again; %" JSON_INTEGER_FORMAT " links change\n",
	       number_of(sum, "sessions"), number_of(sum, "ends"), number_of(sum, "moves"),
	       number_of(sum, "told"), number_of(sum, "proofs"), number_of(sum, "links"));
	printf("of %" JSON_INTEGER_FORMAT " flows %" JSON_INTEGER_FORMAT
	       " are cut; networks: %" JSON_INTEGER_FORMAT " more, %" JSON_INTEGER_FORMAT
	       " fewer\n",
	       number_of(sum, "flows"), number_of(sum, "cut"), number_of(sum, "routes_gained"),
	       number_of(sum, "routes_lost"));
}

static bool on_text(const json_t *line, void *data)
{
	static const struct {
		const char *name;
		void (*print)(const json_t *value);
	} kinds[] = {
		{"policy", print_policy}, {"session", print_session}, {"link", print_link},
		{"flow", print_flow},	  {"sum", print_sum},
	};
	(void)data;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const json_t *value = json_object_get(line, kinds[i].name);
		if (value)
			kinds[i].print(value);
	}
	return true;
}

static bool on_json(const json_t *line, void *data)
{
	(void)data;
	json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	return true;
}

static int show_plan(bool json)
{
	struct error error;
	int r = ask_feed(json_pack("{s:s}", "command", "plan"), 0, json ? on_json : on_text, NULL,
			 &error);
	return r < 0 ? failed(&error) : COMMAND_DONE;
}

// --- acting

static int act(json_t *request, bool json, const char *done)
{
	_cleanup_(json_decrefp) json_t *result = NULL;
	struct error error;
	if (ask(request, &result, &error) < 0)
		return failed(&error);
	if (json)
		arguments_print(result);
	else
		puts(done);
	return COMMAND_DONE;
}

int cmd_reload(int argc, char **argv)
{
	static const struct option options[] = {
		{"plan", no_argument, NULL, 'E'},
		{"confirm", required_argument, NULL, 'Z'},
		{"json", no_argument, NULL, 'j'},
		{0},
	};
	struct arguments arguments;
	char done[128] = "configuration reloaded";
	int r = arguments_read(argc, argv, options, 0, &arguments);
	if (r)
		return r;
	if (arguments.plan && arguments.confirm_s)
		return arguments_usage("reload", "--plan changes nothing, so there is nothing to",
				       "confirm");
	if (arguments.plan)
		return show_plan(arguments.json);
	if (arguments.confirm_s)
		snprintf(
			done, sizeof(done),
			"configuration reloaded; it is taken back in %d s unless you say: mutun confirm",
			(int)arguments.confirm_s);
	return act(json_pack("{s:s,s:i}", "command", "reload", "confirm", (int)arguments.confirm_s),
		   arguments.json, done);
}

int cmd_confirm(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {0}};
	struct arguments arguments;
	int r = arguments_read(argc, argv, options, 0, &arguments);
	return r ? r
		 : act(json_pack("{s:s}", "command", "confirm"), arguments.json,
		       "configuration confirmed");
}
