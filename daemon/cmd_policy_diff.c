// SPDX-License-Identifier: Apache-2.0
// The rest of cmd_policy.h.

#include "daemon/cmd_policy.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/arguments.h"
#include "daemon/command.h"
#include "daemon/config.h"
#include "server/policy_diff.h"
#include "server/when.h"

struct answer {
	json_t *changes; // NULL: they are printed
	const char *program;
	unsigned count;
	bool cut;
};

static void on_change(const struct policy_change *change, void *data)
{
	struct answer *answer = data;
	answer->count++;
	if (answer->changes) {
		json_array_append_new(answer->changes,
				      json_pack("{s:s,s:s,s:s,s:s,s:s}", "program", answer->program,
						"from", change->from, "to", change->to, "gained",
						change->gained, "lost", change->lost));
		return;
	}
	if (*change->gained)
		printf("+ %s%s -> %s: %s\n", answer->program, change->from, change->to,
		       change->gained);
	if (*change->lost)
		printf("- %s%s -> %s: %s\n", answer->program, change->from, change->to,
		       change->lost);
}

static int compare(const struct config *old, const struct config *new, time_t at,
		   struct answer *answer)
{
	static const char *const names[][2] = {{"", "inbound: "}, {"rules", "inbound"}};
	int r = 0;
	for (unsigned program = 0; r == 0 && program < FILTER_PROGRAMS; program++) {
		_cleanup_(policy_diff_freep) struct policy_diff *diff = NULL;
		answer->program = names[answer->changes != NULL][program];
		r = policy_diff_new(old->policy.model, new->policy.model,
				    (enum filter_program)program, at, &diff);
		if (r == 0)
			r = policy_diff_each(diff, on_change, answer);
		if (r == 0)
			answer->cut |= policy_diff_cut(diff);
	}
	return r;
}

static int refuse(int code, const char *path, const struct config_errors *errors)
{
	struct error error;
	char text[ERROR_TEXT_MAX];
	for (size_t i = 0; errors && i < config_errors_count(errors); i++)
		fprintf(stderr, "%s\n",
			error_text(config_errors_at(errors, i), text, sizeof(text)));
	if (code == ENOMEM)
		error_set(&error, ENOMEM, "out of memory");
	else
		error_set(&error, code, "%s cannot be used", path);
	return arguments_refused(&error);
}

static int load(const char *path, struct config **ret)
{
	_cleanup_(config_errors_freep) struct config_errors *errors = NULL;
	int r = config_load_policy(path, ret, &errors);
	return r < 0 ? refuse(-r, path, errors) : COMMAND_DONE;
}

static int print(const struct answer *answer, time_t at)
{
	char text[WHEN_TEXT_MAX];
	when_text(at, NULL, text, sizeof(text));
	if (answer->changes) {
		json_t *result =
			json_pack("{s:i,s:s,s:b,s:O}", "schema", COMMAND_SCHEMA, "at", text,
				  "complete", !answer->cut, "changes", answer->changes);
		arguments_print(result);
		json_decref(result);
		return COMMAND_DONE;
	}
	if (answer->count == 0)
		printf("no difference, as of %s\n", text);
	if (answer->cut)
		fprintf(stderr, "warning: too much to look at all of it; there may be more\n");
	return COMMAND_DONE;
}

int cmd_policy_diff(int argc, char **argv)
{
	static const struct option options[] = {
		{"at", required_argument, NULL, 'A'}, {"json", no_argument, NULL, 'j'}, {0}};
	_cleanup_(config_putp) struct config *old = NULL, *new = NULL;
	struct answer answer = {0};
	struct arguments arguments;
	time_t at = clock_wall();
	int r = arguments_read(argc, argv, options, 2, &arguments);
	if (r)
		return r;
	if (!arguments.words[1])
		return arguments_usage("policy diff", "two files are needed", "");
	if (arguments.at && when_moment(arguments.at, NULL, &at) < 0)
		return arguments_usage("policy diff", "no time: ", arguments.at);
	r = load(arguments.words[0], &old);
	if (r == COMMAND_DONE)
		r = load(arguments.words[1], &new);
	if (r)
		return r;
	answer.changes = arguments.json ? json_array() : NULL;
	r = compare(old, new, at, &answer);
	r = r < 0 ? refuse(ENOMEM, NULL, NULL) : print(&answer, at);
	json_decref(answer.changes);
	return r;
}
