// SPDX-License-Identifier: Apache-2.0
// The tool: finds the command in the table and runs it. Everything that a command is stands in its row.

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/ask.h"
#include "daemon/cmd_ca.h"
#include "daemon/cmd_flows.h"
#include "daemon/cmd_join.h"
#include "daemon/cmd_pin.h"
#include "daemon/cmd_policy.h"
#include "daemon/cmd_reauth.h"
#include "daemon/cmd_reload.h"
#include "daemon/cmd_renew.h"
#include "daemon/cmd_revoke.h"
#include "daemon/cmd_sessions.h"
#include "daemon/cmd_status.h"
#include "daemon/cmd_token.h"
#include "daemon/cmd_trace.h"
#include "daemon/command.h"

#define JSON_OPTION "  --json             answer in JSON\n"

static const struct command commands[] = {
	{"status", "[--json]", "what is up: links, sessions, certificate", JSON_OPTION, cmd_status},
	{"sessions", "[--json]", "who is connected", JSON_OPTION, cmd_sessions},
	{"routes", "[--json]", "which networks lead to whom", JSON_OPTION, cmd_routes},
	{"policy check", "FILE [--json]", "say all that is wrong with a policy, and run its tests",
	 CMD_POLICY_CHECK_OPTIONS, cmd_policy_check},
	{"policy explain",
	 "[--from WHO] --to WHO SERVICE [--unit TEXT] [--issuer NAME] [--hardware] [--at TIME] "
	 "[--inbound] [--file FILE] [--json]",
	 "which rule decides, and why", CMD_POLICY_EXPLAIN_OPTIONS, cmd_policy_explain},
	{"policy diff", "OLD NEW [--at TIME] [--json]",
	 "what one policy lets pass that another does not", CMD_POLICY_DIFF_OPTIONS,
	 cmd_policy_diff},
	{"flows",
	 "[--from WHO] [--to WHO] [--port N] [--proto NAME] [--denied] [--follow] [--for SECONDS] "
	 "[--limit N] [--json]",
	 "which connections pass, begin, or are refused", CMD_FLOWS_OPTIONS, cmd_flows},
	{"trace",
	 "[--from WHO] [--to WHO] [--port N] [--proto NAME] [--count N] [--for SECONDS] [--json]",
	 "what becomes of the next packets, and why", CMD_TRACE_OPTIONS, cmd_trace},
	{"reload", "[--plan|--confirm SECONDS] [--json]", "apply a changed configuration",
	 CMD_RELOAD_OPTIONS, cmd_reload},
	{"confirm", "[--json]", "keep what \"mutun reload --confirm\" applied", JSON_OPTION,
	 cmd_confirm},
	{"reauth", "[LINK|IDENTITY] [--json]", "let peers prove their identity again now",
	 JSON_OPTION, cmd_reauth},
	{"disconnect", "IDENTITY [--json]", "end the sessions of an identity", JSON_OPTION,
	 cmd_disconnect},
	{"renew", "[--now] [--json]", "when this node's certificate is renewed, or do it now",
	 CMD_RENEW_OPTIONS, cmd_renew},
	{"join",
	 "SERVER[:PORT] TOKEN [--identity ID] [--state DIR] [--config FILE] [--no-start] [--json]",
	 "make this device a node", CMD_JOIN_OPTIONS, cmd_join},
	{"enrol-token",
	 "[DIR] --identity ID [--ttl TIME] [--server HOST:PORT] [--gateway PATTERN] "
	 "[--days N|--hours N|--seconds N] [--json]",
	 "let a device join", CMD_TOKEN_OPTIONS, cmd_token},
	{"enrol-token list", "[DIR] [--json]", "which tokens there are", CMD_TOKEN_LIST_OPTIONS,
	 cmd_token_list},
	{"enrol-token revoke", "[DIR] TOKEN [--json]", "make a token useless",
	 CMD_TOKEN_LIST_OPTIONS, cmd_token_revoke},
	{"pin", "FILE [--json]", "the pins of certificates and keys, for node.pins",
	 CMD_PIN_OPTIONS, cmd_pin},
	{"ca init",
	 "DIR --domain DOMAIN [--key KIND] [--passphrase-file FILE] [--issuing-key-uri URI] [--json]",
	 "make a private CA", CMD_CA_INIT_OPTIONS, cmd_ca_init},
	{"ca issue",
	 "DIR --identity ID --out PREFIX [--dns NAME] [--days N|--hours N|--seconds N] "
	 "[--reuse-key] [--not-before-offset SECONDS] [--passphrase-file FILE] [--json]",
	 "issue a certificate and its key", CMD_CA_ISSUE_OPTIONS, cmd_ca_issue},
	{"ca sign",
	 "DIR --csr FILE --identity ID --out PREFIX [--dns NAME] [--days N|--hours N|--seconds N] "
	 "[--not-before-offset SECONDS] [--passphrase-file FILE] [--json]",
	 "issue a certificate for the key of a request", CMD_CA_SIGN_OPTIONS, cmd_ca_sign},
	{"ca revoke",
	 "DIR --serial SERIAL|--key HASH|--identity ID [--reason REASON] [--passphrase-file FILE] "
	 "[--json]",
	 "withdraw a certificate, key or identity", CMD_CA_REVOKE_OPTIONS, cmd_ca_revoke},
	{"ca reinstate", "DIR --identity ID|--key HASH [--passphrase-file FILE] [--json]",
	 "take a revocation back", CMD_CA_REINSTATE_OPTIONS, cmd_ca_reinstate},
	{"ca crl", "DIR --out FILE [--days N] [--passphrase-file FILE] [--json]",
	 "write a revocation list (X.509)", CMD_CA_CRL_OPTIONS, cmd_ca_crl},
	{"ca list", "DIR [--identity ID] [--issued-by WORDS] [--valid] [--json]",
	 "what was issued, newest first", CMD_CA_LIST_OPTIONS, cmd_ca_list},
	{"ca rotate",
	 "DIR issuing|prepare|activate|finish|abort|status [--root-key FILE] "
	 "[--passphrase-file FILE] [--key KIND] [--issuing-key-uri URI] [--from FILE] [--force] "
	 "[--json]",
	 "replace what signs, or the root, step by step", CMD_CA_ROTATE_OPTIONS, cmd_ca_rotate},
	{"ca readiness", "[DIR] [--from FILE] [--json]",
	 "which nodes trust which of the CA's roots", CMD_CA_READINESS_OPTIONS, cmd_ca_readiness},
	{"ca show", "DIR [SERIAL|IDENTITY] [--json]",
	 "a CA, or a certificate and how it came about", CMD_CA_SHOW_OPTIONS, cmd_ca_show},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

// How many of the words make up the command's name; 0 when they are another.
static int match(const struct command *command, int argc, char **argv)
{
	size_t first = strcspn(command->name, " ");
	const char *second = command->name[first] ? command->name + first + 1 : NULL;

	if (argc < 1 || strlen(argv[0]) != first || memcmp(argv[0], command->name, first) != 0)
		return 0;
	if (!second)
		return 1;
	return argc > 1 && strcmp(argv[1], second) == 0 ? 2 : 0;
}

// The one that most of the words are the name of.
static const struct command *find(int argc, char **argv, int *ret_words)
{
	const struct command *found = NULL;

	*ret_words = 0;
	for (size_t i = 0; i < COMMANDS; i++) {
		int words = match(&commands[i], argc, argv);
		if (words > *ret_words) {
			found = &commands[i];
			*ret_words = words;
		}
	}
	return found;
}

static void print_line(FILE *file, const struct command *command)
{
	size_t width = 0;

	for (size_t i = 0; i < COMMANDS; i++)
		width = strlen(commands[i].name) > width ? strlen(commands[i].name) : width;
	fprintf(file, "  mutun %-*s  %s\n", (int)width, command->name, command->summary);
}

static int print_help(FILE *file)
{
	fputs("usage: mutun [--socket PATH] COMMAND [ARGUMENTS]\n"
	      "       mutun help COMMAND, mutun --version\n\n",
	      file);
	for (size_t i = 0; i < COMMANDS; i++)
		print_line(file, &commands[i]);
	fputs("\nEvery command takes --json and --help. It ends with 0 when it is done, 1 when it\n"
	      "was refused or failed, 2 when it was not understood, 3 when mutund does not run.\n"
	      "The socket of mutund is /run/mutun/mutund.sock, or what MUTUN_SOCKET in the\n"
	      "environment or --socket say.\n",
	      file);
	return COMMAND_DONE;
}

static int print_command(const struct command *command)
{
	printf("usage: mutun %s %s\n\n%s\n", command->name, command->synopsis, command->summary);
	if (command->options)
		printf("\n%s", command->options);
	return COMMAND_DONE;
}

// The commands that begin with this word; "ca" alone is the name of none.
static bool print_group(FILE *file, const char *word)
{
	size_t size = strlen(word);
	bool found = false;

	for (size_t i = 0; i < COMMANDS; i++) {
		if (strncmp(commands[i].name, word, size) != 0 || commands[i].name[size] != ' ')
			continue;
		print_line(file, &commands[i]);
		found = true;
	}
	return found;
}

static int unknown(int argc, char **argv)
{
	if (print_group(stderr, argv[0])) {
		if (argc > 1)
			fprintf(stderr, "mutun: %s has no command \"%s\"\n", argv[0], argv[1]);
		else
			fprintf(stderr, "mutun: which of these?\n");
	} else {
		fprintf(stderr, "mutun: no command \"%s\"\nSee: mutun --help\n", argv[0]);
	}
	return COMMAND_USAGE;
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static int help(int argc, char **argv)
{
	const struct command *command;
	int words;

	if (argc == 0)
		return print_help(stdout);
	command = find(argc, argv, &words);
	if (command)
		return print_command(command);
	if (argc == 1 && print_group(stdout, argv[0]))
		return COMMAND_DONE;
	return unknown(argc, argv);
}

static int run(int argc, char **argv)
{
	const struct command *command;
	char name[32];
	int words;

	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (is_help(argv[i]))
			return help(i < 2 ? i : 2, argv);
	command = find(argc, argv, &words);
	if (!command)
		return unknown(argc, argv);
	snprintf(name, sizeof(name), "%s", command->name);
	argv[words - 1] = name;
	return command->run(argc - words + 1, argv + words - 1);
}

int main(int argc, char **argv)
{
	int at = 1;

	for (; at < argc && argv[at][0] == '-'; at++) {
		if (is_help(argv[at]))
			return print_help(stdout);
		if (strcmp(argv[at], "--version") == 0)
			return printf("mutun %s\n", MUTUN_VERSION) < 0;
		if (strncmp(argv[at], "--socket=", 9) == 0) {
			ask_set_socket(argv[at] + 9);
		} else if (strcmp(argv[at], "--socket") == 0 && at + 1 < argc) {
			ask_set_socket(argv[++at]);
		} else {
			fprintf(stderr, "mutun: what is \"%s\"?\nSee: mutun --help\n", argv[at]);
			return COMMAND_USAGE;
		}
	}
	if (at == argc) {
		print_help(stderr);
		return COMMAND_USAGE;
	}
	if (strcmp(argv[at], "help") == 0)
		return help(argc - at - 1, argv + at + 1);
	return run(argc - at, argv + at);
}
