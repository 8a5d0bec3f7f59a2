// SPDX-License-Identifier: Apache-2.0

#include "daemon/cmd_reload.h"

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
#include "daemon/reach.h"

#define DIGEST_SHOWN 12
#define PATIENCE_S \
	300 // where packets leave it little of the processor, to read 65,536 rules takes minutes

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
	const char *change = ask_text(session, "change");
	printf("session %s ", ask_text(session, "identity"));
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		if (strcmp(change, changes[i].change) == 0)
			fputs(changes[i].words, stdout);
	if (ask_number(session, "gained") || ask_number(session, "lost"))
		printf("; networks behind it: %" JSON_INTEGER_FORMAT " more, %" JSON_INTEGER_FORMAT
		       " fewer",
		       ask_number(session, "gained"), ask_number(session, "lost"));
	putchar('\n');
}

static void print_link(const json_t *link)
{
	const char *change = ask_text(link, "change");
	printf("link %s %s\n", ask_text(link, "name"),
	       strcmp(change, "anew") == 0 ? "is made anew" : change);
}

static void print_flow(const json_t *flow)
{
	const char *to = ask_text(flow, "to");
	const char *address = ask_text(flow, "address");
	const json_t *rule = json_object_get(flow, "rule");
	bool named = strcmp(to, address) != 0;
	printf("flow %s -> %s%s%s%s %s is cut: ", ask_text(flow, "from"), to, named ? " (" : "",
	       named ? address : "", named ? ")" : "", ask_text(flow, "service"));
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
	print_more(ask_number(sum, "reach"), "changes of what reaches what");
	if (json_is_false(json_object_get(sum, "reach_complete")))
		puts("... and maybe more: it was too much to look at all that the rules change");
	print_more(ask_number(sum, "ends"), "sessions that end");
	print_more(ask_number(sum, "moves"), "sessions with other addresses");
	print_more(ask_number(sum, "told"), "sessions that are told");
	print_more(ask_number(sum, "cut"), "flows that are cut");
	printf("of %" JSON_INTEGER_FORMAT " sessions %" JSON_INTEGER_FORMAT
	       " end, %" JSON_INTEGER_FORMAT " get other addresses, %" JSON_INTEGER_FORMAT
	       " are told of changes, %" JSON_INTEGER_FORMAT
	       " have to prove their identity again; %" JSON_INTEGER_FORMAT " links change\n",
	       ask_number(sum, "sessions"), ask_number(sum, "ends"), ask_number(sum, "moves"),
	       ask_number(sum, "told"), ask_number(sum, "proofs"), ask_number(sum, "links"));
	printf("of %" JSON_INTEGER_FORMAT " flows %" JSON_INTEGER_FORMAT
	       " are cut; networks: %" JSON_INTEGER_FORMAT " more, %" JSON_INTEGER_FORMAT
	       " fewer\n",
	       ask_number(sum, "flows"), ask_number(sum, "cut"), ask_number(sum, "routes_gained"),
	       ask_number(sum, "routes_lost"));
}

static void print_line(const json_t *line)
{
	static const struct {
		const char *name;
		void (*print)(const json_t *value);
	} kinds[] = {
		{"policy", print_policy}, {"reach", reach_print}, {"session", print_session},
		{"link", print_link},	  {"flow", print_flow},	  {"sum", print_sum},
	};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const json_t *value = json_object_get(line, kinds[i].name);
		if (value)
			kinds[i].print(value);
	}
}

static bool on_line(const json_t *line, void *data)
{
	const bool *json = data;
	ask_lost(line);
	if (*json) {
		json_dumpf(line, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		print_line(line);
	}
	return true;
}

static int show_plan(bool json)
{
	struct error error;
	int r = ask_feed(json_pack("{s:s}", "command", "plan"), 0, on_line, &json, &error);
	return r < 0 ? ask_failed(&error) : COMMAND_DONE;
}

// --- acting

static int act(json_t *request, bool json, const char *done)
{
	_cleanup_(json_decrefp) json_t *result = NULL;
	struct error error;
	if (ask(request, &result, &error) < 0)
		return ask_failed(&error);
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
	ask_set_patience(PATIENCE_S);
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
