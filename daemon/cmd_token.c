// SPDX-License-Identifier: Apache-2.0

#include "daemon/cmd_token.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <libsmartcols.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "daemon/arguments.h"
#include "daemon/command.h"
#include "pki/ca.h"
#include "pki/certificate.h"
#include "pki/identity.h"
#include "pki/tls.h"
#include "pki/token.h"

#define TTL_S	   3600
#define TTL_MAX_S  (30 * 86400LL)
#define LIFETIME_S 86400

static const char *directory_of(const struct arguments *arguments)
{
	return arguments->words[0] ? arguments->words[0] : CMD_TOKEN_CA;
}

// "HOST:PORT" of who enrols, new.
static int find_server(const struct arguments *arguments, char **ret, struct error *error)
{
	char host[HOST_NAME_MAX + 1] = "";

	if (arguments->server)
		return arguments_server(arguments->server, ret, error);
	if (gethostname(host, sizeof(host) - 1) == 0 && arguments_server(host, ret, error) == 0)
		return 0;
	error_set(error, EINVAL, "this machine's name is of no use to devices");
	return error_expected(error, "--server HOST:PORT");
}

// The certificate that devices will know the server by.
static int root_digest(const struct ca *ca, uint8_t ret[TOKEN_DIGEST_SIZE], struct error *error)
{
	_cleanup_(certificates_freep) STACK_OF(X509) *trusted = NULL;
	unsigned size = TOKEN_DIGEST_SIZE;
	int r = ca_trust(ca, &trusted, error);

	if (r < 0)
		return r;
	// While one root follows another that is the old one: it vouches for the gateways' certificates of before, and through what
	// is sent with the new ones for those as well.
	X509 *top = sk_X509_value(ca_chain(ca), sk_X509_num(ca_chain(ca)) - 1);
	for (int i = 0; i < sk_X509_num(trusted); i++) {
		X509 *root = sk_X509_value(trusted, i);
		if (X509_check_issued(root, top) == X509_V_OK)
			return X509_digest(root, EVP_sha256(), ret, &size) == 1
				       ? 0
				       : error_set(error, EIO, "no digest");
	}
	error_set(error, EINVAL, "trust.crt does not hold the certificate that issued issuing.crt");
	return error_where(error, "%s", ca_directory(ca));
}

static int check_pattern(const struct ca *ca, const char *pattern, struct error *error)
{
	const char *domain;
	int r = identity_pattern_check(pattern, error);

	if (r < 0)
		return r;
	size_t size = identity_domain(pattern, &domain);
	if (size == strlen(ca_domain(ca)) && memcmp(domain, ca_domain(ca), size) == 0)
		return 0;
	error_set(error, EINVAL, "%.*s is not in the trust domain of this CA", IDENTITY_SHOWN_MAX,
		  pattern);
	return error_expected(error, "spiffe://%.150s/...", ca_domain(ca));
}

static int check_record(const struct ca *ca, const struct token_record *record, struct error *error)
{
	int r = check_pattern(ca, record->identity, error);

	if (r == 0)
		r = ca_lifetime_check(record->lifetime_s, error);
	if (r == 0 && record->expires - record->created > TTL_MAX_S) {
		error_set(error, EINVAL, "a token that can be used for more than 30 days");
		return error_expected(error, "--ttl of at most 30d");
	}
	return r;
}

static void print_json(const struct token_record *record, const char *server, const char *text,
		       const struct token *token)
{
	char password[TOKEN_PASSWORD_MAX];

	token_password(token, password);
	_cleanup_(json_decrefp) json_t *result =
		json_pack("{s:i,s:s,s:s,s:s,s:s,s:s,s:I}", "schema", COMMAND_SCHEMA, "id",
			  record->id, "identity", record->identity, "server", server, "token", text,
			  "password", password, "expires", (json_int_t)record->expires);
	arguments_print(result);
	OPENSSL_cleanse(password, sizeof(password));
}

static void print_token(const struct token_record *record, const char *server, const char *text)
{
	char words[32];

	fprintf(stderr, "For %s, once, within %s (token %s). On the device, as root:\n",
		record->identity,
		clock_words(record->expires - record->created, words, sizeof(words)), record->id);
	printf("mutun join %s %s\n", server, text);
}

static int make_token(const struct arguments *arguments, struct error *error)
{
	_cleanup_(ca_closep) struct ca *ca = NULL;
	_cleanup_(token_done) struct token token = {0};
	_cleanup_(token_record_done) struct token_record record = {0};
	_cleanup_(freep) char *server = NULL;

	int r = ca_open(directory_of(arguments), &ca, error);
	if (r == 0)
		r = find_server(arguments, &server, error);
	if (r < 0)
		return r;
	token.server = arguments_identity(ca_domain(ca),
					  arguments->gateway ? arguments->gateway : "gateway/*");
	record.identity = arguments_identity(ca_domain(ca), arguments->identity);
	record.created = clock_wall();
	record.expires = record.created + (arguments->ttl_s ? arguments->ttl_s : TTL_S);
	record.lifetime_s = arguments->lifetime_s ? arguments->lifetime_s : LIFETIME_S;
	if (!token.server || !record.identity ||
	    RAND_priv_bytes_ex(tls_library(), token.secret, TOKEN_SECRET_SIZE, 0) != 1)
		return error_set(error, ENOMEM, "out of memory");
	if ((r = check_record(ca, &record, error)) < 0 ||
	    (r = check_pattern(ca, token.server, error)) < 0 ||
	    (r = root_digest(ca, token.root, error)) < 0)
		return r;
	char *text = token_text(&token);
	if (!text)
		return error_set(error, EINVAL, "the gateway's identity is too long for a token");
	r = token_add(ca_journal(ca), token.secret, &record, error);
	if (r == 0 && arguments->json)
		print_json(&record, server, text, &token);
	else if (r == 0)
		print_token(&record, server, text);
	OPENSSL_cleanse(text, strlen(text));
	free(text);
	return r;
}

int cmd_token(int argc, char **argv)
{
	static const struct option options[] = {{"identity", required_argument, NULL, 'i'},
						{"ttl", required_argument, NULL, 't'},
						{"server", required_argument, NULL, 'S'},
						{"gateway", required_argument, NULL, 'g'},
						{"days", required_argument, NULL, 'd'},
						{"hours", required_argument, NULL, 'h'},
						{"seconds", required_argument, NULL, 's'},
						{"json", no_argument, NULL, 'j'},
						{0}};
	struct arguments arguments;
	struct error error = {0};

	int r = arguments_read(argc, argv, options, 1, &arguments);
	if (r)
		return r;
	if (!arguments.identity)
		return arguments_usage(argv[0], "--identity is missing", "");
	return make_token(&arguments, &error) < 0 ? arguments_refused(&error) : COMMAND_DONE;
}

static const char *state_of(const struct token_record *record)
{
	if (record->revoked)
		return "revoked";
	if (record->used)
		return "used";
	return record->expires <= clock_wall() ? "expired" : "open";
}

static int collect(const struct token_record *record, void *data)
{
	json_t *object =
		json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:s*}", "id", record->id, "identity",
			  record->identity, "state", state_of(record), "created",
			  (json_int_t)record->created, "expires", (json_int_t)record->expires,
			  "lifetime_s", (json_int_t)record->lifetime_s, "serial", record->serial);

	return json_array_append_new(data, object) < 0 ? -ENOMEM : 0;
}

static void print_list(const json_t *list)
{
	static const char *const columns[] = {"TOKEN", "IDENTITY", "STATE", "EXPIRES", "SERIAL"};
	struct libscols_table *table = scols_new_table();
	const json_t *entry;
	size_t i;

	for (size_t c = 0; c < sizeof(columns) / sizeof(columns[0]); c++)
		scols_table_new_column(table, columns[c], 0, 0);
	json_array_foreach (list, i, entry) {
		struct libscols_line *line = scols_table_new_line(table, NULL);
		const char *serial = json_string_value(json_object_get(entry, "serial"));
		time_t left = json_integer_value(json_object_get(entry, "expires")) - clock_wall();
		char words[32], when[48];
		snprintf(when, sizeof(when), left > 0 ? "in %s" : "%s ago",
			 clock_words(left > 0 ? left : -left, words, sizeof(words)));
		scols_line_set_data(line, 0, json_string_value(json_object_get(entry, "id")));
		scols_line_set_data(line, 1, json_string_value(json_object_get(entry, "identity")));
		scols_line_set_data(line, 2, json_string_value(json_object_get(entry, "state")));
		scols_line_set_data(line, 3, when);
		scols_line_set_data(line, 4, serial ? serial : "-");
	}
	scols_print_table(table);
	scols_unref_table(table);
}

int cmd_token_list(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {0}};
	_cleanup_(ca_closep) struct ca *ca = NULL;
	struct arguments arguments;
	struct error error = {0};

	int r = arguments_read(argc, argv, options, 1, &arguments);
	if (r)
		return r;
	_cleanup_(json_decrefp) json_t *list = json_array();
	r = ca_open(directory_of(&arguments), &ca, &error);
	if (r == 0)
		r = token_walk(ca_journal(ca), collect, list, &error);
	if (r == -ENOMEM && !error.what[0])
		error_set(&error, ENOMEM, "out of memory");
	if (r < 0)
		return arguments_refused(&error);
	if (arguments.json) {
		_cleanup_(json_decrefp) json_t *result =
			json_pack("{s:i,s:O}", "schema", COMMAND_SCHEMA, "tokens", list);
		arguments_print(result);
	} else if (json_array_size(list) == 0) {
		printf("No tokens yet. Next: mutun enrol-token --identity laptop/NAME\n");
	} else {
		print_list(list);
	}
	return COMMAND_DONE;
}

int cmd_token_revoke(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {0}};
	_cleanup_(ca_closep) struct ca *ca = NULL;
	struct arguments arguments;
	struct error error = {0};

	int r = arguments_read(argc, argv, options, 2, &arguments);
	if (r)
		return r;
	// The last word is the token.
	const char *id = arguments.words[1] ? arguments.words[1] : arguments.words[0];
	if (!id)
		return arguments_usage(argv[0], "which token? See: mutun enrol-token list", "");
	r = ca_open(arguments.words[1] ? arguments.words[0] : CMD_TOKEN_CA, &ca, &error);
	if (r == 0)
		r = token_revoke(ca_journal(ca), id, clock_wall(), &error);
	if (r < 0)
		return arguments_refused(&error);
	if (arguments.json) {
		_cleanup_(json_decrefp) json_t *result = json_pack(
			"{s:i,s:s,s:s}", "schema", COMMAND_SCHEMA, "id", id, "state", "revoked");
		arguments_print(result);
	} else {
		printf("token %s is revoked\n", id);
	}
	return COMMAND_DONE;
}
