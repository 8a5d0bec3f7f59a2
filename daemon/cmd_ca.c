// SPDX-License-Identifier: Apache-2.0

#include "daemon/cmd_ca.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>
#include <openssl/x509.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "daemon/arguments.h"
#include "daemon/command.h"
#include "pki/ca.h"
#include "pki/certificate.h"
#include "pki/issuer.h"
#include "pki/pem.h"

#define DAY_S	   86400
#define LIFETIME_S DAY_S

DEFINE_CLEANUP(X509 *, X509_free);

int cmd_ca_init(int argc, char **argv)
{
	static const struct option options[] = {{"domain", required_argument, NULL, 'D'},
						{"key", required_argument, NULL, 'k'},
						{"passphrase-file", required_argument, NULL, 'p'},
						{"issuing-key-uri", required_argument, NULL, 'u'},
						{"json", no_argument, NULL, 'j'},
						{0}};
	struct arguments arguments;
	struct error error = {0};

	int r = arguments_read(argc, argv, options, 1, &arguments);
	if (r == COMMAND_DONE)
		r = arguments_need_directory(argv[0], &arguments);
	if (r)
		return r;
	if (!arguments.domain)
		return arguments_usage(argv[0], "--domain is missing", "");
	struct ca_options made = {.domain = arguments.domain,
				  .passphrase_path = arguments.passphrase_file,
				  .issuing_uri = arguments.uri};
	r = arguments.key ? profile_key_parse(arguments.key, &made.key, &error) : 0;
	if (r == 0)
		r = ca_make(arguments.words[0], &made, &error);
	if (r < 0)
		return arguments_refused(&error);
	if (arguments.json) {
		_cleanup_(json_decrefp) json_t *result =
			json_pack("{s:i,s:s,s:s,s:o}", "schema", COMMAND_SCHEMA, "directory",
				  arguments.words[0], "domain", arguments.domain, "trust",
				  json_sprintf("%s/trust.crt", arguments.words[0]));
		arguments_print(result);
		return COMMAND_DONE;
	}
	printf("%s: a CA for %s\n"
	       "  trust.crt    give it to every node\n"
	       "  root.key     move it to a safe place: issuing does not need it\n"
	       "  issuing.%s  signs certificates for 90 days from now; keep it secret\n"
	       "Next: mutun ca issue %s --identity gateway/NAME --out NAME\n",
	       arguments.words[0], arguments.domain, arguments.uri ? "uri" : "key",
	       arguments.words[0]);
	return COMMAND_DONE;
}

// What was issued is said from what was written.
static int print_issued(const struct ca_request *request, bool json, struct error *error)
{
	_cleanup_(X509_freep) X509 *leaf = NULL;
	char serial[SERIAL_TEXT_MAX];
	char words[32];
	time_t from = 0, to = 0;

	int r = pem_read_certificate(request->certificate_path, &leaf, error);
	if (r < 0)
		return r;
	certificate_lifetime(leaf, &from, &to);
	certificate_serial(leaf, serial);
	if (json) {
		_cleanup_(json_decrefp) json_t *result = json_pack(
			"{s:i,s:s,s:s,s:I,s:I,s:s,s:s*}", "schema", COMMAND_SCHEMA, "identity",
			request->identity, "serial", serial, "not_before", (json_int_t)from,
			"not_after", (json_int_t)to, "certificate", request->certificate_path,
			"key", request->csr_path ? NULL : request->key_path);
		arguments_print(result);
		return 0;
	}
	printf("%s: %s, serial %s, expires in %s\n", request->certificate_path, request->identity,
	       serial, clock_words(to - clock_wall(), words, sizeof(words)));
	if (!request->csr_path)
		printf("%s: %s\n", request->key_path,
		       request->reuse_key ? "its key, as before" : "its key, new");
	return 0;
}

void cmd_ca_warn(const struct ca *ca)
{
	time_t from, to, left;
	char words[32];

	if (certificate_lifetime(ca_certificate(ca), &from, &to) < 0 ||
	    (left = to - clock_wall()) > ISSUER_WARN_S)
		return;
	clock_words(left, words, sizeof(words));
	fprintf(stderr, "The issuing certificate %s %s%s: mutun ca rotate %s issuing\n",
		left > 0 ? "expires in" : "expired", words, left > 0 ? "" : " ago",
		ca_directory(ca));
}

static int issue(const struct arguments *arguments, struct error *error)
{
	_cleanup_(ca_closep) struct ca *ca = NULL;
	_cleanup_(freep) char *certificate_path = NULL;
	_cleanup_(freep) char *key_path = NULL;

	int r = ca_open(arguments->words[0], &ca, error);
	if (r == 0)
		r = ca_unlock(ca, arguments->passphrase_file, error);
	if (r < 0)
		return r;
	_cleanup_(freep) char *identity = arguments_identity(ca_domain(ca), arguments->identity);
	if (!identity || asprintf(&certificate_path, "%s.crt", arguments->out) < 0 ||
	    asprintf(&key_path, "%s.key", arguments->out) < 0)
		return error_set(error, ENOMEM, "out of memory");
	struct ca_request request = {
		.identity = identity,
		.dns = arguments->dns,
		.lifetime_s = arguments->lifetime_s ? arguments->lifetime_s : LIFETIME_S,
		.not_before_s = arguments->not_before_s,
		.certificate_path = certificate_path,
		.key_path = key_path,
		.reuse_key = arguments->reuse_key,
		.csr_path = arguments->csr,
	};
	cmd_ca_warn(ca);
	r = ca_issue(ca, &request, error);
	return r < 0 ? r : print_issued(&request, arguments->json, error);
}

int cmd_ca_issue(int argc, char **argv)
{
	static const struct option options[] = {{"identity", required_argument, NULL, 'i'},
						{"dns", required_argument, NULL, 'n'},
						{"days", required_argument, NULL, 'd'},
						{"hours", required_argument, NULL, 'h'},
						{"seconds", required_argument, NULL, 's'},
						{"out", required_argument, NULL, 'o'},
						{"reuse-key", no_argument, NULL, 'r'},
						{"not-before-offset", required_argument, NULL, 'b'},
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
	if (!arguments.identity)
		return arguments_usage(argv[0], "--identity is missing", "");
	if (!arguments.out || !*arguments.out)
		return arguments_usage(argv[0], "--out is missing", "");
	return issue(&arguments, &error) < 0 ? arguments_refused(&error) : COMMAND_DONE;
}

int cmd_ca_sign(int argc, char **argv)
{
	static const struct option options[] = {{"csr", required_argument, NULL, 'C'},
						{"identity", required_argument, NULL, 'i'},
						{"dns", required_argument, NULL, 'n'},
						{"days", required_argument, NULL, 'd'},
						{"hours", required_argument, NULL, 'h'},
						{"seconds", required_argument, NULL, 's'},
						{"out", required_argument, NULL, 'o'},
						{"not-before-offset", required_argument, NULL, 'b'},
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
	if (!arguments.csr)
		return arguments_usage(argv[0], "--csr is missing", "");
	if (!arguments.identity)
		return arguments_usage(argv[0],
				       "--identity is missing: what the request asks for "
				       "is not taken from it",
				       "");
	if (!arguments.out || !*arguments.out)
		return arguments_usage(argv[0], "--out is missing", "");
	return issue(&arguments, &error) < 0 ? arguments_refused(&error) : COMMAND_DONE;
}
