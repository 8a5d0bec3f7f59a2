// SPDX-License-Identifier: Apache-2.0

#include "daemon/cmd_ca.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <libsmartcols.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "daemon/arguments.h"
#include "daemon/command.h"
#include "daemon/heard.h"
#include "pki/ca.h"
#include "pki/certificate.h"
#include "pki/readiness.h"

#define WHEN_TEXT_MAX 40
#define NAME_TEXT_MAX 256

static const char *when(json_int_t seen, char text[WHEN_TEXT_MAX])
{
	char words[32];

	snprintf(text, WHEN_TEXT_MAX, "heard %s ago",
		 clock_words(clock_wall() - (time_t)seen, words, sizeof(words)));
	return text;
}

// --- what this gateway heard

static void print_heard(const json_t *answer)
{
	static const char *const columns[] = {"IDENTITY", "HEARD", "TRUSTS"};
	struct libscols_table *table = scols_new_table();
	const json_t *node;
	char text[WHEN_TEXT_MAX], count[32];
	size_t i;

	for (size_t c = 0; c < sizeof(columns) / sizeof(columns[0]); c++)
		scols_table_new_column(table, columns[c], 0, 0);
	json_array_foreach (json_object_get(answer, "nodes"), i, node) {
		struct libscols_line *line = scols_table_new_line(table, NULL);
		const json_t *anchors = json_object_get(node, "anchors");
		snprintf(count, sizeof(count), "%zu CA%s", json_array_size(anchors),
			 json_array_size(anchors) == 1 ? "" : "s");
		scols_line_set_data(line, 0, json_string_value(json_object_get(node, "identity")));
		scols_line_set_data(
			line, 1, when(json_integer_value(json_object_get(node, "seen")), text) + 6);
		scols_line_set_data(line, 2, json_is_null(anchors) ? "does not say" : count);
	}
	scols_print_table(table);
	scols_unref_table(table);
}

static int print_here(bool json, struct error *error)
{
	json_auto_t *answer = NULL;
	int r = heard_ask(&answer, error);

	if (r < 0)
		return r;
	if (json)
		arguments_print(answer);
	else
		print_heard(answer);
	return 0;
}

// --- against what the CA wants

// Ready ones by name; the others with when they were heard.
static int sort_in(const struct readiness_node *node, void *data)
{
	static const char *const lists[] = {[READINESS_READY] = "ready",
					    [READINESS_LACKING] = "lacking",
					    [READINESS_UNSEEN] = "unseen"};
	json_t *list = json_object_get(data, lists[node->state]);
	json_t *entry = node->state == READINESS_LACKING
				? json_pack("{s:s,s:I}", "identity", node->identity, "seen",
					    (json_int_t)node->seen)
				: json_string(node->identity);

	return json_array_append_new(list, entry) < 0 ? -ENOMEM : 0;
}

static json_t *judge(struct readiness *readiness, struct ca *ca, X509 *certificate,
		     struct error *error)
{
	char name[NAME_TEXT_MAX], hash[ROTATION_HASH_TEXT];
	json_t *result =
		json_pack("{s:s,s:s,s:[],s:[],s:[]}", "name",
			  certificate_name(X509_get_subject_name(certificate), name, sizeof(name)),
			  "sha256", rotation_hash(certificate, hash), "ready", "lacking", "unseen");

	if (!result)
		error_set(error, ENOMEM, "out of memory");
	if (!result ||
	    readiness_judge(readiness, ca, hash, clock_wall(), sort_in, result, error) == 0)
		return result;
	json_decref(result);
	return NULL;
}

static void print_judged(const json_t *judged)
{
	const json_t *lacking = json_object_get(judged, "lacking");
	const json_t *unseen = json_object_get(judged, "unseen");
	size_t ready = json_array_size(json_object_get(judged, "ready")), i;
	char text[WHEN_TEXT_MAX];
	const json_t *node;

	printf("%s: %zu of %zu nodes trust it\n",
	       json_string_value(json_object_get(judged, "name")), ready,
	       ready + json_array_size(lacking) + json_array_size(unseen));
	json_array_foreach (lacking, i, node)
		printf("  does not: %s, %s\n", json_string_value(json_object_get(node, "identity")),
		       when(json_integer_value(json_object_get(node, "seen")), text));
	json_array_foreach (unseen, i, node)
		printf("  was never heard: %s\n", json_string_value(node));
}

static int judge_all(const struct arguments *arguments, struct error *error)
{
	_cleanup_(ca_closep) struct ca *ca = NULL;
	_cleanup_(certificates_freep) STACK_OF(X509) *trusted = NULL;
	_cleanup_(readiness_freep) struct readiness *readiness = NULL;
	json_auto_t *list = json_array();
	const json_t *judged;
	bool asked;
	size_t n;

	int r = ca_open(arguments->words[0], &ca, error);
	if (r == 0)
		r = ca_trust(ca, &trusted, error);
	if (r == 0)
		r = heard_read(arguments->from, arguments->from_count, &readiness, &asked, error);
	for (int i = 0; r == 0 && i < sk_X509_num(trusted); i++) {
		json_t *one = judge(readiness, ca, sk_X509_value(trusted, i), error);
		r = one && json_array_append_new(list, one) == 0 ? 0 : -ENOMEM;
	}
	if (r < 0)
		return r;
	if (arguments->json) {
		json_auto_t *result = json_pack("{s:i,s:s,s:O}", "schema", COMMAND_SCHEMA, "domain",
						ca_domain(ca), "certificates", list);
		arguments_print(result);
		return 0;
	}
	json_array_foreach (list, n, judged)
		print_judged(judged);
	return 0;
}

int cmd_ca_readiness(int argc, char **argv)
{
	static const struct option options[] = {
		{"from", required_argument, NULL, 'F'}, {"json", no_argument, NULL, 'j'}, {0}};
	struct arguments arguments;
	struct error error = {0};

	int r = arguments_read(argc, argv, options, 1, &arguments);
	if (r)
		return r;
	if (!arguments.words[0] && arguments.from_count)
		return arguments_need_directory(argv[0], &arguments);
	r = arguments.words[0] ? judge_all(&arguments, &error) : print_here(arguments.json, &error);
	if (r == 0)
		return COMMAND_DONE;
	arguments_refused(&error);
	return r == -ECONNREFUSED ? COMMAND_NO_DAEMON : COMMAND_REFUSED;
}
