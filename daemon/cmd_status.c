// SPDX-License-Identifier: Apache-2.0

#include "daemon/cmd_status.h"

#include <stdbool.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/arguments.h"
#include "daemon/ask.h"
#include "daemon/command.h"

#define NOT_TAKEN_SHOWN 8u // routes; a gateway may push a thousand
#define SESSIONS_SHOWN	16 // in full; a gateway may have ten thousand
#define SKEW_SHOWN_S	5  // less is the way of the answer, and the rounding of both

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
	       ask_number(session, "renewals"), ask_number(last, "ago_s"),
	       ask_word(last, "reason"));
	if (json_is_integer(lost))
		printf("%" JSON_INTEGER_FORMAT " packets lost\n", json_integer_value(lost));
	else
		puts("old keys still drain");
}

static void print_certificate(const char *label, const json_t *certificate)
{
	const json_t *ocsp = json_object_get(certificate, "ocsp");
	const json_t *problem = json_object_get(certificate, "ocsp_problem");
	printf("%s %s%s%s\n", label, ask_word(certificate, "words"),
	       json_is_object(ocsp) ? "; OCSP: " : "",
	       json_is_object(ocsp) ? ask_word(ocsp, "words") : "");
	if (json_is_string(problem))
		printf("no new OCSP answer: %s\n", json_string_value(problem));
}

static void print_names(const json_t *dns)
{
	char servers[256], domains[256];
	ask_list(dns, "servers", servers, sizeof(servers));
	ask_list(dns, "domains", domains, sizeof(domains));
	if (servers[0] || domains[0])
		printf("    DNS:         %s for %s; %s\n", servers[0] ? servers : "-",
		       domains[0] ? domains : "all names", ask_word(dns, "state"));
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
	printf("  %s (%s)\n", ask_word(session, "identity"), ask_word(session, "role"));
	ask_list(session, "addresses", list, sizeof(list));
	printf("    addresses:   %s\n", list);
	ask_list(session, "routes", list, sizeof(list));
	printf("    routes:      %s", list[0] ? list : "-");
	json_int_t routes = ask_number(session, "route_count");
	if (routes > (json_int_t)json_array_size(json_object_get(session, "routes")))
		printf(" ... %" JSON_INTEGER_FORMAT " in all, see: mutun routes", routes);
	putchar('\n');
	printf("    path:        %s %s, ", ask_word(session, "path"),
	       ask_word(session, "endpoint"));
	if (json_is_string(json_object_get(session, "path_reason")))
		printf("%s, ", ask_word(session, "path_reason"));
	if (json_is_real(rtt))
		printf("RTT %.2f ms", json_real_value(rtt));
	else
		printf("RTT not measured yet");
	puts(json_is_true(json_object_get(session, "segments_singly"))
		     ? ", loses datagrams that leave in one piece: they leave one by one"
		     : "");
	printf("    MTU:         %" JSON_INTEGER_FORMAT ", %s\n", ask_number(session, "mtu"),
	       ask_word(session, "mtu_reason"));
	print_bandwidth(session);
	print_names(json_object_get(session, "dns"));
	printf("    keys:        epoch %" JSON_INTEGER_FORMAT ", %s, %s\n",
	       ask_number(session, "epoch"), ask_word(session, "cipher"),
	       ask_word(session, "group"));
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
		printf("%s %s\n", label, ask_word(refusal, "words"));
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
			printf("    not taken:   route %s: %s\n", ask_word(route, "prefix"),
			       ask_word(route, "why"));
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
		printf("  %s: %s, %s\n", ask_word(link, "name"), ask_word(link, "state"),
		       ask_word(link, "endpoint"));
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
	       ask_word(crypto, "engine"), ask_number(crypto, "openssl_ns"));
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
	printf("renewal:     %s%s%s\n", ask_word(renewal, "words"), from ? ", from " : "",
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
		       ask_number(list, "number"), ask_word(list, "domain"), words,
		       ask_word(list, "source"));
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
		printf("revoked:     %s, %s", ask_word(list, "source"), ask_word(list, "words"));
		if (read)
			printf(" (%s, number %s, %" JSON_INTEGER_FORMAT " entries)",
			       ask_word(list, "issuer"), ask_word(list, "number"),
			       ask_number(list, "entries"));
		putchar('\n');
		if (json_is_string(json_object_get(list, "problem")))
			printf("  NOT TAKEN%s: %s\n",
			       read ? ", the last good list stays in use" : "",
			       ask_word(list, "problem"));
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
		printf("  NOT HAD BACK: %s\n", ask_word(status, "back_problem"));
}

static void print_status(const json_t *status)
{
	const json_t *certificate = json_object_get(status, "certificate");
	printf("identity:    %s\n", ask_word(status, "identity"));
	print_certificate("certificate:", certificate);
	if (json_is_string(json_object_get(certificate, "disbelieved")))
		printf("  NOT BELIEVED by peers any more: %s\n",
		       ask_word(certificate, "disbelieved"));
	print_own_renewal(json_object_get(status, "renewal"));
	print_problem("new certificate", certificate);
	print_problem("new trust", json_object_get(status, "trust"));
	print_revocation(json_object_get(status, "revocation"));
	print_lists(json_object_get(json_object_get(status, "revocation"), "lists"));
	print_unconfirmed(status);
	printf("policy:      %s\n", ask_word(json_object_get(status, "policy"), "words"));
	printf("interface:   %s, %" JSON_INTEGER_FORMAT " workers\n",
	       ask_word(json_object_get(status, "interface"), "name"),
	       ask_number(status, "workers"));
	print_crypto(json_object_get(status, "crypto"));
	print_offloads(json_object_get(json_object_get(status, "interface"), "offload"));
	print_counts("dropped, of no session", json_object_get(status, "drops"));
	print_refused("refused here:", json_object_get(status, "refused"));
	print_audit(json_object_get(status, "audit"));
	print_links(json_object_get(status, "links"));
}

// --- the answer, and the sessions after it

struct showing {
	json_t *list; // NULL: in words
	json_int_t shown;
};

static bool on_session(const json_t *line, void *data)
{
	struct showing *showing = data;
	if (ask_lost(line))
		return true;
	if (showing->list) {
		json_array_append(showing->list, (json_t *)line);
		return true;
	}
	if (showing->shown == SESSIONS_SHOWN)
		return false;
	print_session(line);
	showing->shown++;
	return true;
}

int cmd_status(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {0}};
	struct arguments arguments;
	struct showing showing = {0};
	struct error error;
	json_auto_t *status = NULL;
	int r = arguments_read(argc, argv, options, 0, &arguments);
	if (r)
		return r;
	if (ask(json_pack("{s:s}", "command", "status"), &status, &error) < 0)
		return ask_failed(&error);
	json_int_t count = ask_number(status, "session_count");
	if (arguments.json) {
		showing.list = json_array();
		json_object_set_new(status, "sessions", showing.list);
	} else {
		print_status(status);
		printf("\nsessions: %" JSON_INTEGER_FORMAT "\n", count);
	}
	if (ask_feed(json_pack("{s:s}", "command", "sessions"), 0, on_session, &showing, &error) <
	    0)
		return ask_failed(&error);
	if (arguments.json)
		arguments_print(status);
	else if (count > showing.shown)
		printf("  and %" JSON_INTEGER_FORMAT " more, see: mutun sessions\n",
		       count - showing.shown);
	return COMMAND_DONE;
}
