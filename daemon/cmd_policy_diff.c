// SPDX-License-Identifier: Apache-2.0
// The rest of cmd_policy.h.

#include "daemon/cmd_policy.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/arguments.h"
#include "daemon/command.h"
#include "daemon/config.h"
#include "daemon/reach.h"
#include "server/when.h"

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

static int print(const struct reach *reach, time_t at, bool json)
{
	char text[WHEN_TEXT_MAX];
	const json_t *change;
	size_t i;
	when_text(at, NULL, text, sizeof(text));
	if (json) {
		json_auto_t *result =
			json_pack("{s:i,s:s,s:b,s:O}", "schema", COMMAND_SCHEMA, "at", text,
				  "complete", !reach->cut, "changes", reach->changes);
		arguments_print(result);
		return COMMAND_DONE;
	}
	json_array_foreach (reach->changes, i, change)
		reach_print(change);
	if (reach->count == 0)
		printf("no difference, as of %s\n", text);
	if (reach->cut)
		fprintf(stderr, "warning: too much to look at all of it; there may be more\n");
	return COMMAND_DONE;
}

int cmd_policy_diff(int argc, char **argv)
{
	static const struct option options[] = {
		{"at", required_argument, NULL, 'A'}, {"json", no_argument, NULL, 'j'}, {0}};
	_cleanup_(config_putp) struct config *old = NULL, *new = NULL;
	_cleanup_(reach_done) struct reach reach = {0};
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
	r = reach_compare(old->policy.model, new->policy.model, at, NULL, UINT_MAX, &reach);
	return r < 0 ? refuse(ENOMEM, NULL, NULL) : print(&reach, at, arguments.json);
}
