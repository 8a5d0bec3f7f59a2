// SPDX-License-Identifier: Apache-2.0

#include "daemon/cmd_ca.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "daemon/arguments.h"
#include "daemon/command.h"
#include "daemon/heard.h"
#include "pki/ca.h"
#include "pki/ca_revoke.h"
#include "pki/ca_rotate.h"
#include "pki/ca_strand.h"
#include "pki/certificate.h"
#include "pki/readiness.h"

struct rotation_command {
	const char *name;
	int (*run)(const char *directory, const struct ca_rotate_options *options,
		   struct error *error);
	bool strands;	  // may cut nodes off
	const char *done; // what is true now, and what comes next
};

static const struct rotation_command commands[] = {
	{"issuing", ca_rotate_issuing, false,
	 "Leaves are signed by the new issuing certificate from now on; nodes need not do anything.\n"},
	{"prepare", ca_rotate_prepare, false,
	 "trust.crt holds the old root and the new one. Nodes that renew by EST fetch it themselves, at\n"
	 "once if the gateway that serves this CA is told to (mutun renew --now); give it to all others.\n"
	 "root.next.key is the new root's key: a safe place is better for it.\n"
	 "See who has it: mutun ca readiness DIR\n"
	 "Next: mutun ca rotate DIR activate\n"},
	{"activate", ca_rotate_activate, true,
	 "Leaves are signed below the new root from now on, and sent so that a node that knows only\n"
	 "the old root believes them.\n"
	 "Next, when all nodes have renewed: mutun ca rotate DIR finish\n"},
	{"finish", ca_rotate_finish, true,
	 "trust.crt holds the new root alone. Nodes that renew by EST fetch it with their next\n"
	 "certificate; give it to all others.\n"},
	{"abort", ca_rotate_abort, false,
	 "trust.crt holds the old root alone; the new one and its key are gone.\n"},
};

static const struct rotation_command *find(const char *name)
{
	for (size_t i = 0; name && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

// Who is at the keyboard, as far as the system knows.
static const char *who(void)
{
	const char *sudo = getenv("SUDO_USER");
	const struct passwd *entry = sudo ? NULL : getpwuid(getuid());

	return sudo ? sudo : entry ? entry->pw_name : "?";
}

static json_t *describe(const struct rotation *rotation)
{
	return json_pack("{s:s,s:I,s:s,s:s,s:s}", "step", rotation_step_name(rotation->step), "at",
			 (json_int_t)rotation->at, "who", rotation->who, "old_root", rotation->old,
			 "new_root", rotation->new);
}

// --- steps

struct stranded {
	json_t *list;
	bool print;
};

static void tell(const char *identity, const char *why, void *data)
{
	const struct stranded *stranded = data;

	json_array_append_new(stranded->list,
			      json_pack("{s:s,s:s}", "identity", identity, "why", why));
	if (stranded->print)
		fprintf(stderr, "  %s: %s\n", identity, why);
}

// "DIR" in the words for what comes next.
static void print_done(const char *text, const char *directory)
{
	const char *at;

	for (; (at = strstr(text, "DIR")); text = at + 3)
		printf("%.*s%s", (int)(at - text), text, directory);
	fputs(text, stdout);
}

static int print_step(const struct rotation_command *command, const struct arguments *arguments,
		      json_t *stranded, struct error *error)
{
	_cleanup_(ca_closep) struct ca *ca = NULL;
	struct rotation rotation = {.step = ROTATION_NONE};

	int r = ca_open(arguments->words[0], &ca, error);
	if (r == 0)
		r = rotation_read(ca_journal(ca), &rotation, error);
	if (r < 0)
		return r;
	if (arguments->json) {
		char serial[SERIAL_TEXT_MAX];
		json_auto_t *result = json_pack("{s:i,s:o,s:s,s:O}", "schema", COMMAND_SCHEMA,
						"root", describe(&rotation), "issuing",
						certificate_serial(ca_certificate(ca), serial),
						"stranded", stranded);
		arguments_print(result);
		return 0;
	}
	print_done(command->done, arguments->words[0]);
	return 0;
}

// Nodes that know the new issuer alone must be able to believe what was revoked under the one before.
static int publish_denials(const struct arguments *arguments, struct error *error)
{
	_cleanup_(ca_closep) struct ca *ca = NULL;

	int r = ca_open(arguments->words[0], &ca, error);
	return r < 0 ? r : ca_publish(ca, arguments->passphrase_file, error);
}

static int take_step(const struct rotation_command *command, const struct arguments *arguments,
		     struct error *error)
{
	_cleanup_(readiness_freep) struct readiness *readiness = NULL;
	json_auto_t *list = json_array();
	struct stranded stranded = {.list = list, .print = !arguments->json};
	struct ca_rotate_options options = {.root_key_path = arguments->root_key,
					    .passphrase_path = arguments->passphrase_file,
					    .has_key = arguments->key,
					    .issuing_uri = arguments->uri,
					    .who = who(),
					    .stranded = tell,
					    .data = &stranded,
					    .force = arguments->force};
	bool asked;

	int r = arguments->key ? profile_key_parse(arguments->key, &options.key, error) : 0;
	if (r == 0 && command->strands) {
		r = heard_read(arguments->from, arguments->from_count, &readiness, &asked, error);
		// Nothing is known then of anybody, and everybody is named.
		if (r == -ECONNREFUSED && arguments->force)
			r = 0;
	}
	options.readiness = readiness;
	if (r == 0)
		r = command->run(arguments->words[0], &options, error);
	if (r == 0)
		r = publish_denials(arguments, error);
	return r < 0 ? r : print_step(command, arguments, list, error);
}

// --- status

static void print_status(const json_t *result, const struct rotation *rotation,
			 const char *directory)
{
	const json_t *entry;
	char words[32];
	size_t i;

	if (rotation->step == ROTATION_NONE) {
		print_done("The root has never been changed. Next: mutun ca rotate DIR prepare\n",
			   directory);
		return;
	}
	printf("%s %s ago by %s\n  old root  SHA-256 %s\n  new root  SHA-256 %s\n",
	       rotation_step_name(rotation->step),
	       clock_words(clock_wall() - rotation->at, words, sizeof(words)), rotation->who,
	       rotation->old, rotation->new);
	const json_t *stranded = json_object_get(result, "stranded");
	if (json_is_null(stranded))
		return;
	printf("%s would strand %zu:\n",
	       rotation->step == ROTATION_PREPARED ? "activate" : "finish",
	       json_array_size(stranded));
	json_array_foreach (stranded, i, entry)
		printf("  %s: %s\n", json_string_value(json_object_get(entry, "identity")),
		       json_string_value(json_object_get(entry, "why")));
}

// Whom the next step would cut off, as far as anybody here knows; JSON null: there is no such step, or nobody to ask.
static json_t *next_strands(const struct arguments *arguments, struct ca *ca,
			    const struct rotation *rotation)
{
	_cleanup_(readiness_freep) struct readiness *readiness = NULL;
	struct error error;
	json_t *list;
	bool asked;

	if ((rotation->step != ROTATION_PREPARED && rotation->step != ROTATION_ACTIVATED) ||
	    heard_read(arguments->from, arguments->from_count, &readiness, &asked, &error) < 0)
		return json_null();
	list = json_array();
	struct stranded stranded = {.list = list};
	struct ca_strand strand = {.readiness = readiness, .tell = tell, .data = &stranded};
	if (ca_strand(ca, rotation, rotation->step == ROTATION_ACTIVATED, &strand, &error) < 0) {
		json_decref(list);
		return json_null();
	}
	free(strand.names);
	return list;
}

static int show_status(const struct arguments *arguments, struct error *error)
{
	_cleanup_(ca_closep) struct ca *ca = NULL;
	struct rotation rotation = {.step = ROTATION_NONE};

	int r = ca_open(arguments->words[0], &ca, error);
	if (r == 0)
		r = rotation_read(ca_journal(ca), &rotation, error);
	if (r < 0)
		return r;
	json_auto_t *result =
		json_pack("{s:i,s:o,s:o}", "schema", COMMAND_SCHEMA, "root", describe(&rotation),
			  "stranded", next_strands(arguments, ca, &rotation));
	if (arguments->json)
		arguments_print(result);
	else
		print_status(result, &rotation, arguments->words[0]);
	return 0;
}

int cmd_ca_rotate(int argc, char **argv)
{
	static const struct option options[] = {{"root-key", required_argument, NULL, 'K'},
						{"passphrase-file", required_argument, NULL, 'p'},
						{"key", required_argument, NULL, 'k'},
						{"issuing-key-uri", required_argument, NULL, 'u'},
						{"from", required_argument, NULL, 'F'},
						{"force", no_argument, NULL, 'f'},
						{"json", no_argument, NULL, 'j'},
						{0}};
	struct arguments arguments;
	struct error error = {0};

	int r = arguments_read(argc, argv, options, 2, &arguments);
	if (r == COMMAND_DONE)
		r = arguments_need_directory(argv[0], &arguments);
	if (r)
		return r;
	const char *name = arguments.words[1];
	const struct rotation_command *command = find(name);
	bool status = name && strcmp(name, "status") == 0;
	if (!command && !status)
		return arguments_usage(argv[0], name ? "there is no step " : "which step?",
				       name ? name : "");
	r = status ? show_status(&arguments, &error) : take_step(command, &arguments, &error);
	if (r == 0)
		return COMMAND_DONE;
	arguments_refused(&error);
	return r == -ECONNREFUSED ? COMMAND_NO_DAEMON : COMMAND_REFUSED;
}
