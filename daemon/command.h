// SPDX-License-Identifier: Apache-2.0
// One command of the tool `mutun`.
#pragma once

#define COMMAND_SCHEMA 1 // of all answers in JSON

// What the tool ends with.
enum command_exit { COMMAND_DONE, COMMAND_REFUSED, COMMAND_USAGE, COMMAND_NO_DAEMON };

struct command {
	const char *name;     // one or two words: "status", "ca issue"
	const char *synopsis; // the arguments
	const char *summary;  // one line
	const char *options;  // a line each, or NULL
	// argv[0] is the name; options and words follow it. Says itself what went wrong. Returns an exit code.
	int (*run)(int argc, char **argv);
};
