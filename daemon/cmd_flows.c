// SPDX-License-Identifier: Apache-2.0

#include "daemon/cmd_flows.h"

#include <stdio.h>
#include <time.h>
#include <libsmartcols.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/ask.h"
#include "daemon/command.h"
#include "daemon/inspect.h"

#define LIMIT	   1000u
#define JSON_BEGIN "{\"schema\":1,\"flows\":[\n"
_Static_assert(COMMAND_SCHEMA == 1, "and in JSON_BEGIN");

struct listing {
	struct inspect inspect;
	struct libscols_table *table; // NULL: in JSON, or to follow
	unsigned limit, rows;
	uint64_t others; // beyond the limit
};

// An identity, or else the address.
static const char *who(const json_t *line, const char *side, const char *address)
{
	const char *identity = ask_text(line, side);
	return *identity ? identity : ask_text(line, address);
}

// --- the table

static struct libscols_table *new_table(void)
{
	static const char *const columns[] = {"WHO", "TO",   "SERVICE",	 "STATE",
					      "AGE", "SENT", "RECEIVED", "RULE"};
	struct libscols_table *table = scols_new_table();
	for (unsigned i = 0; table && i < sizeof(columns) / sizeof(columns[0]); i++)
		scols_table_new_column(table, columns[i], 0, 0);
	return table;
}

static void add_row(struct listing *listing, const json_t *line)
{
	struct libscols_line *row = scols_table_new_line(listing->table, NULL);
	char text[512];
	scols_line_set_data(row, 0, who(line, "from", "from_address"));
	scols_line_set_data(row, 1, who(line, "to", "to_address"));
	scols_line_set_data(row, 2, ask_text(line, "target"));
	scols_line_set_data(row, 3, ask_text(line, "state"));
	scols_line_set_data(row, 4, clock_words(ask_number(line, "age_s"), text, sizeof(text)));
	scols_line_set_data(row, 5, ask_bytes(ask_number(line, "sent_bytes"), text, sizeof(text)));
	scols_line_set_data(row, 6,
			    ask_bytes(ask_number(line, "received_bytes"), text, sizeof(text)));
	scols_line_set_data(row, 7, inspect_rule(line, text, sizeof(text)));
}

// --- lines

static void print_event(const json_t *line)
{
	char now[16], rule[512];
	time_t wall = time(NULL);
	struct tm parts;
	bool denied = ask_text(line, "event")[0] == 'd';
	localtime_r(&wall, &parts);
	strftime(now, sizeof(now), "%H:%M:%S", &parts);
	printf("%s %s  %s -> %s", now, denied ? "refused" : "begun  ",
	       who(line, "from", "from_address"), ask_text(line, "target"));
	if (denied && !*ask_text(line, "place"))
		printf("  (%s)", ask_text(line, "reason"));
	else
		printf("  %s", inspect_rule(line, rule, sizeof(rule)));
	if (ask_number(line, "count") > 1)
		printf("  %lld times", (long long)ask_number(line, "count"));
	putchar('\n');
	fflush(stdout);
}

static void print_json(struct listing *listing, const json_t *line)
{
	if (!listing->inspect.follow)
		fputs(listing->rows > 1 ? "," : JSON_BEGIN, stdout);
	json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
}

static bool on_line(const json_t *line, void *data)
{
	struct listing *listing = data;
	if (ask_lost(line)) {
		if (listing->inspect.follow && listing->inspect.json)
			print_json(listing, line);
		return true;
	}
	if (!listing->inspect.follow && listing->rows >= listing->limit) {
		listing->others++;
		return true;
	}
	listing->rows++;
	if (listing->inspect.json)
		print_json(listing, line);
	else if (listing->table)
		add_row(listing, line);
	else if (listing->inspect.follow)
		print_event(line);
	else
		puts(ask_text(line, "words"));
	return true;
}

static void finish(struct listing *listing)
{
	if (listing->inspect.json && !listing->inspect.follow)
		printf("%s],\"others\":%llu}\n", listing->rows ? "" : JSON_BEGIN,
		       (unsigned long long)listing->others);
	if (listing->table)
		scols_print_table(listing->table);
	if (listing->others && !listing->inspect.json)
		printf("and %llu more: see --limit, or narrow it with --from, --to, --port, "
		       "--proto\n",
		       (unsigned long long)listing->others);
}

int cmd_flows(int argc, char **argv)
{
	struct listing listing = {.limit = LIMIT};
	struct error error;
	int r = inspect_read(argc, argv, "ftpPdFlsj", &listing.inspect);
	if (r)
		return r;
	const struct inspect *inspect = &listing.inspect;
	if (inspect->limit)
		listing.limit = inspect->limit;
	if (!inspect->json && !inspect->follow && !inspect->denied)
		listing.table = new_table();
	r = ask_feed(inspect_request("flows", inspect), inspect->for_s, on_line, &listing, &error);
	if (r == 0)
		finish(&listing);
	scols_unref_table(listing.table);
	return r < 0 ? ask_failed(&error) : COMMAND_DONE;
}
