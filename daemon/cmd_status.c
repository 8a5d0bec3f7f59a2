// SPDX-License-Identifier: Apache-2.0

#include "daemon/cmd_status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <libsmartcols.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/ask.h"
#include "daemon/command.h"

#define NOT_TAKEN_SHOWN 8u // routes; a gateway may push a thousand
#define SKEW_SHOWN_S	5  // less is the way of the answer, and the rounding of both

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? text : "-";
}

static void print_json(const json_t *result)
{
	json_dumpf(result, stdout, JSON_INDENT(2));
	putchar('\n');
}

// Takes --json out of the arguments; what is left must be at most `max` words, put into `word` (NULL where none).
static int read_arguments(int argc, char **argv, int max, const char **word, bool *ret_json)
{
	int words = 0;
	*word = NULL;
	*ret_json = false;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			*ret_json = true;
		} else if (argv[i][0] == '-' || ++words > max) {
			fprintf(stderr, "mutun %s: what is \"%s\"? See: mutun %s --help\n", argv[0],
				argv[i], argv[0]);
			return -EINVAL;
		} else {
			*word = argv[i];
		}
	}
	return 0;
}

static struct libscols_table *table_new(const char *const *columns, unsigned count)
{
	struct libscols_table *table = scols_new_table();
	for (unsigned i = 0; table && i < count; i++)
		scols_table_new_column(table, columns[i], 0, 0);
	return table;
}

static void table_print(struct libscols_table *table)
{
	scols_print_table(table);
	scols_unref_table(table);
}

static void join(const json_t *array, char *text, size_t size)
{
	size_t at = 0;
	size_t i;
	json_t *item;
	text[0] = '\0';
	json_array_foreach (array, i, item) {
		int n = snprintf(text + at, size - at, "%s%s", at ? " " : "",
				 json_string_value(item));
		if (n < 0 || (size_t)n >= size - at)
			return;
		at += (size_t)n;
	}
}

static void print_counts(const char *label, const json_t *counts)
{
	const char *name;
	json_t *count;
	if (json_object_size(counts) == 0)
		return;
	printf("    %s:", label);
	json_object_foreach ((json_t *)counts, name, count)
		printf(" %s %" JSON_INTEGER_FORMAT, name, json_integer_value(count));
	putchar('\n');
}

static void print_renewal(const json_t *session)
{
	const json_t *last = json_object_get(session, "last_renewal");
	const json_t *lost = json_object_get(last, "lost_packets");
	if (!json_is_object(last))
		return;
	printf("    renewed:     %" JSON_INTEGER_FORMAT " times, last %" JSON_INTEGER_FORMAT
	       " s ago (%s): ",
	       ask_number(session, "renewals"), ask_number(last, "ago_s"), text_of(last, "reason"));
	if (json_is_integer(lost))
		printf("%" JSON_INTEGER_FORMAT " packets lost\n", json_integer_value(lost));
	else
		puts("old keys still drain");
}

static void print_certificate(const char *label, const json_t *certificate)
{
	const json_t *ocsp = json_object_get(certificate, "ocsp");
	const json_t *problem = json_object_get(certificate, "ocsp_problem");
	printf("%s %s%s%s\n", label, text_of(certificate, "words"),
	       json_is_object(ocsp) ? "; OCSP: " : "",
	       json_is_object(ocsp) ? text_of(ocsp, "words") : "");
	if (json_is_string(problem))
		printf("no new OCSP answer: %s\n", json_string_value(problem));
}

static void print_names(const json_t *dns)
{
	char servers[256], domains[256];
	join(json_object_get(dns, "servers"), servers, sizeof(servers));
	join(json_object_get(dns, "domains"), domains, sizeof(domains));
	if (servers[0] || domains[0])
		printf("    DNS:         %s for %s; %s\n", servers[0] ? servers : "-",
		       domains[0] ? domains : "all names", text_of(dns, "state"));
}

static void print_bandwidth(const json_t *session)
{
	json_int_t rate = ask_number(session, "bandwidth");
	if (rate)
		printf("    bandwidth:   %.6g Mbit/s each way\n", (double)rate / 1e6);
}

static void print_session(const json_t *session)
{
	char list[512], rx[32], tx[32];
	const json_t *in = json_object_get(session, "rx");
	const json_t *out = json_object_get(session, "tx");
	const json_t *rtt = json_object_get(session, "rtt_ms");
	printf("  %s (%s)\n", text_of(session, "identity"), text_of(session, "role"));
	join(json_object_get(session, "addresses"), list, sizeof(list));
	printf("    addresses:   %s\n", list);
	join(json_object_get(session, "routes"), list, sizeof(list));
	printf("    routes:      %s", list[0] ? list : "-");
	json_int_t routes = ask_number(session, "route_count");
	if (routes > (json_int_t)json_array_size(json_object_get(session, "routes")))
		printf(" ... %" JSON_INTEGER_FORMAT " in all, see: mutun routes", routes);
	putchar('\n');
	printf("    path:        %s %s, ", text_of(session, "path"), text_of(session, "endpoint"));
	if (json_is_real(rtt))
		printf("RTT %.2f ms", json_real_value(rtt));
	else
		printf("RTT not measured yet");
	puts(json_is_true(json_object_get(session, "segments_singly"))
		     ? ", loses datagrams that leave in one piece: they leave one by one"
		     : "");
	printf("    MTU:         %" JSON_INTEGER_FORMAT ", %s\n", ask_number(session, "mtu"),
	       text_of(session, "mtu_reason"));
	print_bandwidth(session);
	print_names(json_object_get(session, "dns"));
	printf("    keys:        epoch %" JSON_INTEGER_FORMAT ", %s, %s\n",
	       ask_number(session, "epoch"), text_of(session, "cipher"), text_of(session, "group"));
	ask_bytes(ask_number(in, "bytes"), rx, sizeof(rx));
	ask_bytes(ask_number(out, "bytes"), tx, sizeof(tx));
	printf("    received:    %s in %" JSON_INTEGER_FORMAT
	       " packets; sent: %s in %" JSON_INTEGER_FORMAT " packets\n",
	       rx, ask_number(in, "packets"), tx, ask_number(out, "packets"));
	print_counts("dropped     ", json_object_get(session, "drops"));
	print_certificate("    certificate:", json_object_get(session, "certificate"));
	print_renewal(session);
}

static void print_refused(const char *label, const json_t *refused)
{
	size_t i;
	json_t *refusal;
	json_array_foreach (refused, i, refusal)
		printf("%s %s\n", label, text_of(refusal, "words"));
}

static void print_audit(const json_t *audit)
{
	const json_t *problem = json_object_get(audit, "problem");
	json_int_t lost = ask_number(audit, "lost");
	if (json_is_string(problem))
		printf("audit log:   NOT WRITTEN: %s\n", json_string_value(problem));
	if (lost)
		printf("audit log:   %" JSON_INTEGER_FORMAT " records were lost\n", lost);
}

static void print_not_taken(const json_t *routes)
{
	size_t i;
	json_t *route;
	json_array_foreach (routes, i, route)
		if (i < NOT_TAKEN_SHOWN)
			printf("    not taken:   route %s: %s\n", text_of(route, "prefix"),
			       text_of(route, "why"));
	if (i > NOT_TAKEN_SHOWN)
		printf("    not taken:   %zu routes more (see --json)\n", i - NOT_TAKEN_SHOWN);
}

static void print_links(const json_t *links)
{
	size_t i;
	json_t *link;
	if (json_array_size(links) > 0)
		puts("\nlinks:");
	json_array_foreach (links, i, link) {
		const json_t *error = json_object_get(link, "last_error");
		printf("  %s: %s, %s\n", text_of(link, "name"), text_of(link, "state"),
		       text_of(link, "endpoint"));
		if (json_is_string(error))
			printf("    last error:  %s\n", json_string_value(error));
		print_not_taken(json_object_get(link, "routes_not_taken"));
		print_refused("    refused by the gateway:", json_object_get(link, "refused"));
	}
}

static void print_problem(const char *what, const json_t *object)
{
	const json_t *problem = json_object_get(object, "problem");
	if (json_is_string(problem))
		printf("%s: NOT USED, the old one stays: %s\n", what, json_string_value(problem));
}

static void print_crypto(const json_t *crypto)
{
	const json_t *other = json_object_get(crypto, "ipsec_mb_ns");
	printf("AES-GCM:     %s (%" JSON_INTEGER_FORMAT " ns a packet by OpenSSL",
	       text_of(crypto, "engine"), ask_number(crypto, "openssl_ns"));
	if (json_is_integer(other))
		printf(", %" JSON_INTEGER_FORMAT " ns by ipsec-mb", json_integer_value(other));
	puts(")");
}

static void print_offloads(const json_t *offloads)
{
	const char *name;
	json_t *state;
	const char *separator = "offload:     ";
	json_object_foreach ((json_t *)offloads, name, state) {
		printf("%s%s %s", separator, name, json_string_value(state));
		separator = ", ";
	}
	putchar('\n');
}

static void print_own_renewal(const json_t *renewal)
{
	const char *from = json_string_value(json_object_get(renewal, "from"));
	json_int_t skew = ask_number(renewal, "skew_s");
	char words[32];
	printf("renewal:     %s%s%s\n", text_of(renewal, "words"), from ? ", from " : "",
	       from ? from : "");
	if (json_is_true(json_object_get(renewal, "previous")))
		puts("             the previous pair is kept until a peer has accepted the new one");
	if (skew > SKEW_SHOWN_S || skew < -SKEW_SHOWN_S)
		printf("clock:       %s %s the CA's\n", clock_words(skew, words, sizeof(words)),
		       skew > 0 ? "behind" : "ahead of");
}

static void print_revocation(const json_t *revocation)
{
	const json_t *list;
	char words[32];
	size_t i;
	json_array_foreach (json_object_get(revocation, "denials"), i, list) {
		clock_words(ask_number(list, "age_s"), words, sizeof(words));
		printf("revocations: %" JSON_INTEGER_FORMAT " of %s, the last %s ago, from %s\n",
		       ask_number(list, "number"), text_of(list, "domain"), words,
		       text_of(list, "source"));
		print_problem("revocations", list);
	}
	print_problem("revocations", revocation);
}

static void print_lists(const json_t *lists)
{
	size_t i;
	json_t *list;
	json_array_foreach (lists, i, list) {
		bool read = json_object_get(list, "issuer");
		printf("revoked:     %s, %s", text_of(list, "source"), text_of(list, "words"));
		if (read)
			printf(" (%s, number %s, %" JSON_INTEGER_FORMAT " entries)",
			       text_of(list, "issuer"), text_of(list, "number"),
			       ask_number(list, "entries"));
		putchar('\n');
		if (json_is_string(json_object_get(list, "problem")))
			printf("  NOT TAKEN%s: %s\n",
			       read ? ", the last good list stays in use" : "",
			       text_of(list, "problem"));
	}
}

static void print_unconfirmed(const json_t *status)
{
	bool overdue = json_is_string(json_object_get(status, "back_problem"));
	if (!json_object_get(status, "unconfirmed_s"))
		return;
	printf("NOT CONFIRMED: the configuration before %s in %" JSON_INTEGER_FORMAT
	       " s; keep this one with: mutun confirm\n",
	       overdue ? "cannot be had back, and is tried again" : "comes back",
	       ask_number(status, "unconfirmed_s"));
	if (overdue)
		printf("  NOT HAD BACK: %s\n", text_of(status, "back_problem"));
}

static void print_status(const json_t *status)
{
	const json_t *certificate = json_object_get(status, "certificate");
	const json_t *sessions = json_object_get(status, "sessions");
	size_t i;
	json_t *session;
	printf("identity:    %s\n", text_of(status, "identity"));
	print_certificate("certificate:", certificate);
	if (json_is_string(json_object_get(certificate, "disbelieved")))
		printf("  NOT BELIEVED by peers any more: %s\n",
		       text_of(certificate, "disbelieved"));
	print_own_renewal(json_object_get(status, "renewal"));
	print_problem("new certificate", certificate);
	print_problem("new trust", json_object_get(status, "trust"));
	print_revocation(json_object_get(status, "revocation"));
	print_lists(json_object_get(json_object_get(status, "revocation"), "lists"));
	print_unconfirmed(status);
	printf("policy:      %s\n", text_of(json_object_get(status, "policy"), "words"));
	printf("interface:   %s, %" JSON_INTEGER_FORMAT " workers\n",
	       text_of(json_object_get(status, "interface"), "name"),
	       ask_number(status, "workers"));
	print_crypto(json_object_get(status, "crypto"));
	print_offloads(json_object_get(json_object_get(status, "interface"), "offload"));
	print_counts("dropped, of no session", json_object_get(status, "drops"));
	print_refused("refused here:", json_object_get(status, "refused"));
	print_audit(json_object_get(status, "audit"));
	print_links(json_object_get(status, "links"));
	printf("\nsessions: %zu\n", json_array_size(sessions));
	json_array_foreach (sessions, i, session)
		print_session(session);
}

static void print_sessions(const json_t *result)
{
	static const char *const columns[] = {"IDENTITY", "ADDRESSES", "ENDPOINT", "EPOCH",
					      "RTT",	  "RECEIVED",  "SENT",	   "CERTIFICATE"};
	struct libscols_table *table = table_new(columns, 8);
	size_t i;
	json_t *session;
	json_array_foreach (json_object_get(result, "sessions"), i, session) {
		struct libscols_line *line = scols_table_new_line(table, NULL);
		const json_t *rtt = json_object_get(session, "rtt_ms");
		char text[512];
		scols_line_set_data(line, 0, text_of(session, "identity"));
		join(json_object_get(session, "addresses"), text, sizeof(text));
		scols_line_set_data(line, 1, text);
		scols_line_set_data(line, 2, text_of(session, "endpoint"));
		snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, ask_number(session, "epoch"));
		scols_line_set_data(line, 3, text);
		snprintf(text, sizeof(text), "%.2f ms", json_real_value(rtt));
		scols_line_set_data(line, 4, json_is_real(rtt) ? text : "-");
		ask_bytes(ask_number(json_object_get(session, "rx"), "bytes"), text, sizeof(text));
		scols_line_set_data(line, 5, text);
		ask_bytes(ask_number(json_object_get(session, "tx"), "bytes"), text, sizeof(text));
		scols_line_set_data(line, 6, text);
		scols_line_set_data(line, 7,
				    text_of(json_object_get(session, "certificate"), "words"));
	}
	table_print(table);
}

static void print_routes(const json_t *result)
{
	static const char *const columns[] = {"PREFIX", "IDENTITY", ""};
	struct libscols_table *table = table_new(columns, 3);
	size_t i;
	json_t *route;
	json_array_foreach (json_object_get(result, "routes"), i, route) {
		struct libscols_line *line = scols_table_new_line(table, NULL);
		scols_line_set_data(line, 0, text_of(route, "prefix"));
		scols_line_set_data(line, 1, text_of(route, "identity"));
		if (json_is_true(json_object_get(route, "standby")))
			scols_line_set_data(line, 2, "waits");
	}
	table_print(table);
}

static bool on_line(const json_t *line, void *data)
{
	if (!ask_lost(line))
		json_array_append_new(data, json_copy((json_t *)line));
	return true;
}

// `list`: the answer goes on, and this is what all its lines are; NULL: it is one.
static int show(int argc, char **argv, const char *list, void (*print)(const json_t *result))
{
	const char *word;
	struct error error;
	json_auto_t *result = NULL;
	bool json;
	if (read_arguments(argc, argv, 0, &word, &json) < 0)
		return COMMAND_USAGE;
	json_t *request = json_pack("{s:s}", "command", argv[0]);
	if (list)
		result = json_pack("{s:i,s:[]}", "schema", COMMAND_SCHEMA, list);
	int r = list ? ask_feed(request, 0, on_line, json_object_get(result, list), &error)
		     : ask(request, &result, &error);
	if (r < 0)
		return ask_failed(&error);
	if (json)
		print_json(result);
	else
		print(result);
	return 0;
}

int cmd_status(int argc, char **argv)
{
	return show(argc, argv, NULL, print_status);
}

int cmd_sessions(int argc, char **argv)
{
	return show(argc, argv, NULL, print_sessions);
}

int cmd_routes(int argc, char **argv)
{
	return show(argc, argv, "routes", print_routes);
}

// A command that changes something: `done` is said with the number of sessions it touched.
static int act(json_t *request, bool json, const char *done)
{
	struct error error;
	json_t *result;
	if (ask(request, &result, &error) < 0)
		return ask_failed(&error);
	json_t *sessions = json_object_get(result, "sessions");
	if (json)
		print_json(result);
	else if (sessions)
		printf("%s: %" JSON_INTEGER_FORMAT "\n", done, json_integer_value(sessions));
	else
		puts(done);
	json_decref(result);
	return 0;
}

int cmd_reauth(int argc, char **argv)
{
	const char *which;
	bool json;
	if (read_arguments(argc, argv, 1, &which, &json) < 0)
		return COMMAND_USAGE;
	return act(json_pack("{s:s,s:s?}", "command", "reauth", "which", which), json,
		   "sessions asked to prove their identity again");
}

int cmd_disconnect(int argc, char **argv)
{
	const char *identity;
	bool json;
	if (read_arguments(argc, argv, 1, &identity, &json) < 0)
		return COMMAND_USAGE;
	if (!identity) {
		fputs("mutun disconnect: which identity? See: mutun sessions\n", stderr);
		return COMMAND_USAGE;
	}
	return act(json_pack("{s:s,s:s}", "command", "disconnect", "identity", identity), json,
		   "sessions ended");
}
