// SPDX-License-Identifier: Apache-2.0

#include "daemon/cmd_revoke.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "daemon/arguments.h"
#include "daemon/command.h"
#include "pki/ca.h"
#include "pki/ca_crl.h"
#include "pki/ca_revoke.h"
#include "pki/denial.h"

#define CRL_DAYS 7
#define DAY_S	 86400

// The directory, and exactly one of the three.
static int check(const char *command, const struct arguments *arguments, bool serial)
{
	int r = arguments_need_directory(command, arguments);
	if (r)
		return r;
	int count = !!arguments->serial + !!arguments->key + !!arguments->identity;
	if (count == 0)
		return arguments_usage(command, "what? ",
				       serial ? "--serial, --key or --identity"
					      : "--key or --identity");
	return count == 1 ? COMMAND_DONE : arguments_usage(command, "one at a time", "");
}

static void print_entry(const struct arguments *arguments, const struct denial *entry)
{
	char subject[DENIAL_SUBJECT_MAX];

	denial_subject(entry, subject);
	if (arguments->json) {
		_cleanup_(json_decrefp) json_t *result = json_pack(
			"{s:i,s:s,s:b,s:s,s:I,s:I}", "schema", COMMAND_SCHEMA, "subject", subject,
			"revoked", !entry->allow, "reason", denial_reason_name(entry->reason),
			"number", (json_int_t)entry->number, "time", (json_int_t)entry->time);
		arguments_print(result);
		return;
	}
	printf("%s is %s: denial %llu, in %s/denials\n", subject,
	       entry->allow ? "reinstated" : "revoked", (unsigned long long)entry->number,
	       arguments->words[0]);
}

static int carry_out(const struct arguments *arguments, bool allow, enum denial_reason reason,
		     struct error *error)
{
	_cleanup_(ca_closep) struct ca *ca = NULL;
	_cleanup_(denial_putp) struct denial *entry = NULL;
	struct ca_subject subject = {.serial = arguments->serial,
				     .key = arguments->key,
				     .passphrase_path = arguments->passphrase_file};

	int r = ca_open(arguments->words[0], &ca, error);
	if (r < 0)
		return r;
	_cleanup_(freep) char *identity =
		arguments->identity ? arguments_identity(ca_domain(ca), arguments->identity) : NULL;
	if (arguments->identity && !identity)
		return error_set(error, ENOMEM, "out of memory");
	subject.identity = identity;
	r = allow ? ca_reinstate(ca, &subject, &entry, error)
		  : ca_revoke(ca, &subject, reason, &entry, error);
	if (r == 0)
		print_entry(arguments, entry);
	return r;
}

int cmd_ca_revoke(int argc, char **argv)
{
	static const struct option options[] = {{"serial", required_argument, NULL, 'N'},
						{"key", required_argument, NULL, 'k'},
						{"identity", required_argument, NULL, 'i'},
						{"reason", required_argument, NULL, 'R'},
						{"passphrase-file", required_argument, NULL, 'p'},
						{"json", no_argument, NULL, 'j'},
						{0}};
	enum denial_reason reason = DENIAL_UNSPECIFIED;
	struct arguments arguments;
	struct error error = {0};

	int r = arguments_read(argc, argv, options, 1, &arguments);
	if (r == COMMAND_DONE)
		r = check(argv[0], &arguments, true);
	if (r)
		return r;
	if (arguments.reason && denial_reason_parse(arguments.reason, &reason) < 0)
		return arguments_usage(argv[0], "no such reason: ", arguments.reason);
	return carry_out(&arguments, false, reason, &error) < 0 ? arguments_refused(&error)
								: COMMAND_DONE;
}

int cmd_ca_reinstate(int argc, char **argv)
{
	static const struct option options[] = {{"key", required_argument, NULL, 'k'},
						{"identity", required_argument, NULL, 'i'},
						{"passphrase-file", required_argument, NULL, 'p'},
						{"json", no_argument, NULL, 'j'},
						{0}};
	struct arguments arguments;
	struct error error = {0};

	int r = arguments_read(argc, argv, options, 1, &arguments);
	if (r == COMMAND_DONE)
		r = check(argv[0], &arguments, false);
	if (r)
		return r;
	return carry_out(&arguments, true, DENIAL_UNSPECIFIED, &error) < 0
		       ? arguments_refused(&error)
		       : COMMAND_DONE;
}

static int write_crl(const struct arguments *arguments, struct error *error)
{
	_cleanup_(ca_closep) struct ca *ca = NULL;
	int64_t days = arguments->lifetime_s ? arguments->lifetime_s / DAY_S : CRL_DAYS;
	uint64_t number = 0;
	unsigned count = 0;

	int r = ca_open(arguments->words[0], &ca, error);
	if (r == 0)
		r = ca_unlock(ca, arguments->passphrase_file, error);
	if (r == 0)
		r = ca_crl(ca, arguments->out, days, &number, &count, error);
	if (r < 0)
		return r;
	if (arguments->json) {
		_cleanup_(json_decrefp) json_t *result =
			json_pack("{s:i,s:s,s:I,s:i,s:I}", "schema", COMMAND_SCHEMA, "file",
				  arguments->out, "number", (json_int_t)number, "certificates",
				  (int)count, "days", (json_int_t)days);
		arguments_print(result);
		return 0;
	}
	printf("%s: revocation list %llu with %u certificate%s, good for %lld day%s\n",
	       arguments->out, (unsigned long long)number, count, count == 1 ? "" : "s",
	       (long long)days, days == 1 ? "" : "s");
	return 0;
}

int cmd_ca_crl(int argc, char **argv)
{
	static const struct option options[] = {{"out", required_argument, NULL, 'o'},
						{"days", required_argument, NULL, 'd'},
						{"passphrase-file", required_argument, NULL, 'p'},
						{"json", no_argument, NULL, 'j'},
						{0}};
	struct arguments arguments;
	struct error error = {0};

	int r = arguments_read(argc, argv, options, 1, &arguments);
	if (r == COMMAND_DONE)
		r = arguments_need_directory(argv[0], &arguments);
	if (r)
		return r;
	if (!arguments.out || !*arguments.out)
		return arguments_usage(argv[0], "--out is missing", "");
	return write_crl(&arguments, &error) < 0 ? arguments_refused(&error) : COMMAND_DONE;
}
