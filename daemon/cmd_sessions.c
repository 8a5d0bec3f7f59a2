// SPDX-License-Identifier: Apache-2.0

#include "daemon/cmd_sessions.h"

#include <stdio.h>
#include <libsmartcols.h>

#include "base/error.h"
#include "daemon/arguments.h"
#include "daemon/ask.h"
#include "daemon/command.h"

#define COLUMNS_MAX 8u

struct kind {
	const char *name; // of the command, and of the list in JSON
	const char *columns[COLUMNS_MAX];
	unsigned column_count;
	void (*fill)(struct libscols_line *row, const json_t *line);
};

struct listing {
	const struct kind *kind;
	struct libscols_table *table; // NULL: in JSON
	uint64_t lines;
};

// --- sessions

static void put_bytes(struct libscols_line *row, size_t column, const json_t *way)
{
	char text[32];
	scols_line_set_data(row, column, ask_bytes(ask_number(way, "bytes"), text, sizeof(text)));
}

static void fill_session(struct libscols_line *row, const json_t *session)
{
	const json_t *rtt = json_object_get(session, "rtt_ms");
	char text[512];
	scols_line_set_data(row, 0, ask_word(session, "identity"));
	scols_line_set_data(row, 1, ask_list(session, "addresses", text, sizeof(text)));
	snprintf(text, sizeof(text), "%s %s", ask_word(session, "path"),
		 ask_word(session, "endpoint"));
	scols_line_set_data(row, 2, text);
	snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, ask_number(session, "epoch"));
	scols_line_set_data(row, 3, text);
	snprintf(text, sizeof(text), "%.2f ms", json_real_value(rtt));
	scols_line_set_data(row, 4, json_is_real(rtt) ? text : "-");
	put_bytes(row, 5, json_object_get(session, "rx"));
	put_bytes(row, 6, json_object_get(session, "tx"));
	scols_line_set_data(row, 7, ask_word(json_object_get(session, "certificate"), "words"));
}

static const struct kind sessions = {
	.name = "sessions",
	.columns = {"IDENTITY", "ADDRESSES", "PATH", "EPOCH", "RTT", "RECEIVED", "SENT",
		    "CERTIFICATE"},
	.column_count = 8,
	.fill = fill_session,
};

// --- routes

static void fill_route(struct libscols_line *row, const json_t *route)
{
	scols_line_set_data(row, 0, ask_word(route, "prefix"));
	scols_line_set_data(row, 1, ask_word(route, "identity"));
	if (json_is_true(json_object_get(route, "standby")))
		scols_line_set_data(row, 2, "waits");
}

static const struct kind routes = {
	.name = "routes",
	.columns = {"PREFIX", "IDENTITY", ""},
	.column_count = 3,
	.fill = fill_route,
};

// --- both

static struct libscols_table *new_table(const struct kind *kind)
{
	struct libscols_table *table = scols_new_table();
	for (unsigned i = 0; table && i < kind->column_count; i++)
		scols_table_new_column(table, kind->columns[i], 0, 0);
	return table;
}

static void begin_json(const struct listing *listing)
{
	printf("{\"schema\":%d,\"%s\":[\n", COMMAND_SCHEMA, listing->kind->name);
}

static bool on_line(const json_t *line, void *data)
{
	struct listing *listing = data;
	if (ask_lost(line))
		return true;
	if (listing->table) {
		listing->kind->fill(scols_table_new_line(listing->table, NULL), line);
		return true;
	}
	if (listing->lines++ == 0)
		begin_json(listing);
	else
		putchar(',');
	json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	return true;
}

static void finish(const struct listing *listing)
{
	if (listing->table) {
		scols_print_table(listing->table);
		return;
	}
	if (listing->lines == 0)
		begin_json(listing);
	puts("]}");
}

static int show(int argc, char **argv, const struct kind *kind)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {0}};
	struct listing listing = {.kind = kind};
	struct arguments arguments;
	struct error error;
	int r = arguments_read(argc, argv, options, 0, &arguments);
	if (r)
		return r;
	if (!arguments.json)
		listing.table = new_table(kind);
	r = ask_feed(json_pack("{s:s}", "command", kind->name), 0, on_line, &listing, &error);
	if (r == 0)
		finish(&listing);
	scols_unref_table(listing.table);
	return r < 0 ? ask_failed(&error) : COMMAND_DONE;
}

int cmd_sessions(int argc, char **argv)
{
	return show(argc, argv, &sessions);
}

int cmd_routes(int argc, char **argv)
{
	return show(argc, argv, &routes);
}
