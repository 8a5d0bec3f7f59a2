// SPDX-License-Identifier: Apache-2.0

#include "base/hex.h"
#include "daemon/cmd_ca.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <jansson.h>
#include <libsmartcols.h>
#include <openssl/x509.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "daemon/arguments.h"
#include "daemon/command.h"
#include "pki/ca.h"
#include "pki/ca_denied.h"
#include "pki/certificate.h"
#include "pki/denials.h"
#include "pki/record.h"
#include "pki/rotation.h"

#define TIME_TEXT_MAX 40
#define NAME_TEXT_MAX 256

DEFINE_CLEANUP(X509 *, X509_free);

// --- words

static const char *text_at(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));
	return text ? text : "-";
}

static time_t time_at(const json_t *object, const char *member)
{
	return (time_t)json_integer_value(json_object_get(object, member));
}

static const char *time_text(time_t when, char text[TIME_TEXT_MAX])
{
	struct tm parts;

	if (!localtime_r(&when, &parts) || !strftime(text, TIME_TEXT_MAX, "%F %T %Z", &parts))
		text[0] = '\0';
	return text;
}

static const char *state_text(const json_t *entry, char text[TIME_TEXT_MAX])
{
	time_t now = clock_wall(), from = time_at(entry, "not_before"),
	       to = time_at(entry, "not_after");
	const json_t *revoked = json_object_get(entry, "revoked");
	char words[32];

	if (revoked)
		snprintf(text, TIME_TEXT_MAX, "revoked %s ago",
			 clock_words(now - time_at(revoked, "time"), words, sizeof(words)));
	else if (to < now)
		snprintf(text, TIME_TEXT_MAX, "expired %s ago",
			 clock_words(now - to, words, sizeof(words)));
	else if (from > now)
		snprintf(text, TIME_TEXT_MAX, "valid in %s",
			 clock_words(from - now, words, sizeof(words)));
	else
		snprintf(text, TIME_TEXT_MAX, "expires in %s",
			 clock_words(to - now, words, sizeof(words)));
	return text;
}

// "P-256", "RSA of 3072 bits".
static const char *key_text(X509 *certificate, char text[TIME_TEXT_MAX])
{
	EVP_PKEY *key = X509_get0_pubkey(certificate);
	char group[24];
	size_t size;

	if (key && EVP_PKEY_is_a(key, "RSA"))
		snprintf(text, TIME_TEXT_MAX, "RSA of %d bits", EVP_PKEY_get_bits(key));
	else if (key && EVP_PKEY_is_a(key, "EC") &&
		 EVP_PKEY_get_group_name(key, group, sizeof(group), &size) == 1)
		snprintf(text, TIME_TEXT_MAX, "%s", EC_curve_nid2nist(OBJ_sn2nid(group)) ?: group);
	else
		snprintf(text, TIME_TEXT_MAX, "%s", key ? EVP_PKEY_get0_type_name(key) : "?");
	return text;
}

// --- list

struct listing {
	json_t *list;
	struct denials *denials; // NULL: nothing was ever revoked
};

static json_t *revoked_of(const struct denial *denial)
{
	char subject[DENIAL_SUBJECT_MAX];

	return json_pack("{s:I,s:s,s:s,s:I}", "time", (json_int_t)denial->time, "what",
			 denial_subject(denial, subject), "reason",
			 denial_reason_name(denial->reason), "number", (json_int_t)denial->number);
}

static json_t *entry_of(const struct record *record, const struct listing *listing)
{
	const struct denial *denial = ca_denial_of(listing->denials, record);
	json_t *entry = json_pack("{s:s,s:s,s:s*,s:I,s:I,s:I,s:s*}", "serial", record->serial,
				  "identity", record->identity, "dns", record->dns, "issued",
				  (json_int_t)record->issued, "not_before",
				  (json_int_t)record->not_before, "not_after",
				  (json_int_t)record->not_after, "issued_by", record->issued_by);

	if (entry && denial)
		json_object_set_new(entry, "revoked", revoked_of(denial));
	return entry;
}

static int collect(const struct record *record, void *data)
{
	const struct listing *listing = data;

	return json_array_append_new(listing->list, entry_of(record, listing)) < 0 ? -ENOMEM : 0;
}

static void print_table(const json_t *list)
{
	static const char *const columns[] = {"IDENTITY", "ISSUED", "BY",
					      "EXPIRES",  "STATE",  "SERIAL"};
	struct libscols_table *table = scols_new_table();
	const json_t *entry;
	char text[TIME_TEXT_MAX];
	size_t i;

	for (size_t c = 0; c < sizeof(columns) / sizeof(columns[0]); c++)
		scols_table_new_column(table, columns[c], 0, 0);
	json_array_foreach (list, i, entry) {
		struct libscols_line *line = scols_table_new_line(table, NULL);
		const char *by = text_at(entry, "issued_by");
		// The serial of what was renewed is for --json and for "ca show".
		bool renewed = strncmp(by, "renewal ", 8) == 0;
		scols_line_set_data(line, 0, text_at(entry, "identity"));
		scols_line_set_data(line, 1, time_text(time_at(entry, "issued"), text));
		scols_line_set_data(line, 2, renewed ? "renewal" : by);
		scols_line_set_data(line, 3, time_text(time_at(entry, "not_after"), text));
		scols_line_set_data(line, 4, state_text(entry, text));
		scols_line_set_data(line, 5, text_at(entry, "serial"));
	}
	scols_print_table(table);
	scols_unref_table(table);
}

static void print_list(const struct arguments *arguments, const json_t *list)
{
	bool all = !arguments->identity && !arguments->by && !arguments->valid;

	if (json_array_size(list) > 0)
		print_table(list);
	else if (all)
		printf("No certificates yet. Next: mutun ca issue %s --identity gateway/NAME --out "
		       "NAME\n",
		       arguments->words[0]);
	else
		printf("No such certificates.\n");
}

int cmd_ca_list(int argc, char **argv)
{
	static const struct option options[] = {{"identity", required_argument, NULL, 'i'},
						{"issued-by", required_argument, NULL, 'y'},
						{"valid", no_argument, NULL, 'v'},
						{"json", no_argument, NULL, 'j'},
						{0}};
	_cleanup_(ca_closep) struct ca *ca = NULL;
	_cleanup_(freep) char *identity = NULL;
	struct arguments arguments;
	struct error error = {0};

	int r = arguments_read(argc, argv, options, 1, &arguments);
	if (r == COMMAND_DONE)
		r = arguments_need_directory(argv[0], &arguments);
	if (r)
		return r;
	_cleanup_(json_decrefp) json_t *list = json_array();
	_cleanup_(denials_putp) struct denials *denials = NULL;
	r = ca_open(arguments.words[0], &ca, &error);
	if (r == 0)
		r = ca_denials(ca, &denials, &error);
	struct listing listing = {.list = list, .denials = denials};
	if (r == 0 && arguments.identity)
		identity = arguments_identity(ca_domain(ca), arguments.identity);
	struct record_filter filter = {.identity = identity,
				       .issued_by = arguments.by,
				       .ends_after = arguments.valid ? clock_wall() : 0};
	if (r == 0)
		r = record_walk(ca_journal(ca), &filter, collect, &listing, &error);
	if (r == -ENOMEM && !error.what[0])
		error_set(&error, ENOMEM, "out of memory");
	if (r < 0)
		return arguments_refused(&error);
	if (arguments.json) {
		_cleanup_(json_decrefp) json_t *result =
			json_pack("{s:i,s:s,s:O}", "schema", COMMAND_SCHEMA, "domain",
				  ca_domain(ca), "certificates", list);
		arguments_print(result);
	} else {
		print_list(&arguments, list);
	}
	return COMMAND_DONE;
}

// --- show: certificates

// What only the certificate itself tells.
static void add_certificate(json_t *entry, const struct record *record)
{
	char name[NAME_TEXT_MAX], key[TIME_TEXT_MAX];
	_cleanup_(X509_freep) X509 *certificate = record_certificate(record);

	if (!certificate)
		return;
	json_object_set_new(entry, "issuer",
			    json_string(certificate_name(X509_get_issuer_name(certificate), name,
							 sizeof(name))));
	json_object_set_new(entry, "key", json_string(key_text(certificate, key)));
}

static int collect_whole(const struct record *record, void *data)
{
	const struct listing *listing = data;
	json_t *entry = entry_of(record, listing);

	json_object_set_new(entry, "spki_sha256", json_string(record->spki));
	add_certificate(entry, record);
	return json_array_append_new(listing->list, entry) < 0 ? -ENOMEM : 0;
}

static void print_certificate(const json_t *entry)
{
	char text[TIME_TEXT_MAX];

	printf("serial    %s\n", text_at(entry, "serial"));
	printf("identity  %s\n", text_at(entry, "identity"));
	if (json_object_get(entry, "dns"))
		printf("DNS name  %s\n", text_at(entry, "dns"));
	const json_t *revoked = json_object_get(entry, "revoked");
	printf("state     %s", state_text(entry, text));
	if (revoked)
		printf(": %s, %s", text_at(revoked, "what"), text_at(revoked, "reason"));
	putchar('\n');
	printf("issued    %s", time_text(time_at(entry, "issued"), text));
	printf(", by: %s\n", text_at(entry, "issued_by"));
	printf("valid     %s", time_text(time_at(entry, "not_before"), text));
	printf(" to %s\n", time_text(time_at(entry, "not_after"), text));
	printf("issuer    %s\n", text_at(entry, "issuer"));
	printf("key       %s, SHA-256 %s\n", text_at(entry, "key"), text_at(entry, "spki_sha256"));
}

// A serial number as openssl and browsers print it, too: colons, capitals, "serial=" not.
static bool read_serial(const char *text, char ret[SERIAL_TEXT_MAX])
{
	size_t count = 0;

	for (; *text; text++) {
		if (*text == ':')
			continue;
		if (!isxdigit((unsigned char)*text) || count == SERIAL_TEXT_MAX - 1)
			return false;
		ret[count++] = (char)tolower((unsigned char)*text);
	}
	ret[count] = '\0';
	return count > 0;
}

static int show_certificates(struct ca *ca, const char *what, bool json, struct error *error)
{
	_cleanup_(json_decrefp) json_t *list = json_array();
	_cleanup_(freep) char *identity = arguments_identity(ca_domain(ca), what);
	char serial[SERIAL_TEXT_MAX];
	bool by_serial = read_serial(what, serial);
	struct record_filter filter = {.serial = by_serial ? serial : NULL,
				       .identity = by_serial ? NULL : identity};
	const json_t *entry;
	size_t i;

	_cleanup_(denials_putp) struct denials *denials = NULL;
	int r = ca_denials(ca, &denials, error);
	struct listing listing = {.list = list, .denials = denials};
	if (r == 0)
		r = record_walk(ca_journal(ca), &filter, collect_whole, &listing, error);
	if (r < 0)
		return r;
	if (json_array_size(list) == 0) {
		error_set(error, ENOENT, "no certificate %s was issued here", what);
		return error_remedy(error, "mutun ca list %.150s names all", ca_directory(ca));
	}
	if (json) {
		_cleanup_(json_decrefp) json_t *result =
			json_pack("{s:i,s:s,s:O}", "schema", COMMAND_SCHEMA, "domain",
				  ca_domain(ca), "certificates", list);
		arguments_print(result);
		return 0;
	}
	json_array_foreach (list, i, entry) {
		if (i)
			putchar('\n');
		print_certificate(entry);
	}
	return 0;
}

// --- show: the CA

static json_t *authority_of(X509 *certificate)
{
	char name[NAME_TEXT_MAX], key[TIME_TEXT_MAX], serial[SERIAL_TEXT_MAX];
	unsigned char hash[EVP_MAX_MD_SIZE];
	char digits[HEX_TEXT_MAX(EVP_MAX_MD_SIZE)];
	unsigned size = 0;
	time_t from = 0, to = 0;

	certificate_lifetime(certificate, &from, &to);
	X509_digest(certificate, EVP_sha256(), hash, &size);
	hex_text(hash, size, digits);
	return json_pack("{s:s,s:s,s:s,s:I,s:I,s:s}", "name",
			 certificate_name(X509_get_subject_name(certificate), name, sizeof(name)),
			 "serial", certificate_serial(certificate, serial), "key",
			 key_text(certificate, key), "not_before", (json_int_t)from, "not_after",
			 (json_int_t)to, "sha256", digits);
}

struct count {
	json_int_t issued, valid;
};

static int count(const struct record *record, void *data)
{
	struct count *counts = data;

	counts->issued++;
	counts->valid += record->not_after > clock_wall();
	return 0;
}

static void print_authority(const char *role, const json_t *authority)
{
	char text[TIME_TEXT_MAX];

	printf("%-9s %s, %s, %s\n          SHA-256 %s\n", role, text_at(authority, "name"),
	       text_at(authority, "key"), state_text(authority, text),
	       text_at(authority, "sha256"));
}

static int show_ca(const struct ca *ca, bool json, struct error *error)
{
	_cleanup_(certificates_freep) STACK_OF(X509) *trusted = NULL;
	_cleanup_(json_decrefp) json_t *roots = json_array();
	struct count counts = {0};
	struct rotation rotation = {.step = ROTATION_NONE};
	const json_t *root;
	char words[32];
	size_t n;

	int r = ca_trust(ca, &trusted, error);
	if (r == 0)
		r = rotation_read(ca_journal(ca), &rotation, error);
	if (r == 0)
		r = record_walk(ca_journal(ca), &(struct record_filter){0}, count, &counts, error);
	if (r < 0)
		return r;
	for (int i = 0; i < sk_X509_num(trusted); i++)
		json_array_append_new(roots, authority_of(sk_X509_value(trusted, i)));
	_cleanup_(json_decrefp) json_t *result =
		json_pack("{s:i,s:s,s:o,s:O,s:{s:I,s:I},s:s}", "schema", COMMAND_SCHEMA, "domain",
			  ca_domain(ca), "issuing", authority_of(ca_certificate(ca)), "trust",
			  roots, "certificates", "issued", counts.issued, "valid", counts.valid,
			  "rotation", rotation_step_name(rotation.step));
	if (json) {
		arguments_print(result);
		return 0;
	}
	cmd_ca_warn(ca);
	printf("domain    %s\n", ca_domain(ca));
	print_authority("issuing", json_object_get(result, "issuing"));
	json_array_foreach (roots, n, root)
		print_authority("trust", root);
	printf("leaves    %lld issued, %lld of them valid\n", (long long)counts.issued,
	       (long long)counts.valid);
	if (rotation.step != ROTATION_NONE)
		printf("roll-over %s %s ago by %s\n", rotation_step_name(rotation.step),
		       clock_words(clock_wall() - rotation.at, words, sizeof(words)), rotation.who);
	return 0;
}

int cmd_ca_show(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {0}};
	_cleanup_(ca_closep) struct ca *ca = NULL;
	struct arguments arguments;
	struct error error = {0};

	int r = arguments_read(argc, argv, options, 2, &arguments);
	if (r == COMMAND_DONE)
		r = arguments_need_directory(argv[0], &arguments);
	if (r)
		return r;
	r = ca_open(arguments.words[0], &ca, &error);
	if (r == 0 && arguments.words[1])
		r = show_certificates(ca, arguments.words[1], arguments.json, &error);
	else if (r == 0)
		r = show_ca(ca, arguments.json, &error);
	return r < 0 ? arguments_refused(&error) : COMMAND_DONE;
}
