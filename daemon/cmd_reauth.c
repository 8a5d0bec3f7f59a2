// SPDX-License-Identifier: Apache-2.0

#include "daemon/cmd_reauth.h"

#include <stdio.h>

#include "base/error.h"
#include "daemon/arguments.h"
#include "daemon/ask.h"
#include "daemon/command.h"

// `done` is said with the number of sessions that it touched.
static int act(json_t *request, bool json, const char *done)
{
	struct error error;
	json_auto_t *result = NULL;
	if (ask(request, &result, &error) < 0)
		return ask_failed(&error);
	if (json)
		arguments_print(result);
	else
		printf("%s: %" JSON_INTEGER_FORMAT "\n", done, ask_number(result, "sessions"));
	return COMMAND_DONE;
}

static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {0}};

int cmd_reauth(int argc, char **argv)
{
	struct arguments arguments;
	int r = arguments_read(argc, argv, options, 1, &arguments);
	if (r)
		return r;
	return act(json_pack("{s:s,s:s?}", "command", "reauth", "which", arguments.words[0]),
		   arguments.json, "sessions asked to prove their identity again");
}

int cmd_disconnect(int argc, char **argv)
{
	struct arguments arguments;
	int r = arguments_read(argc, argv, options, 1, &arguments);
	if (r)
		return r;
	if (!arguments.words[0])
		return arguments_usage(argv[0], "which identity? See: mutun sessions", "");
	return act(json_pack("{s:s,s:s}", "command", "disconnect", "identity", arguments.words[0]),
		   arguments.json, "sessions ended");
}
