// SPDX-License-Identifier: Apache-2.0

#include "server/lease_db.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sqlite3.h>

#include "base/error.h"
#include "base/log.h"

#define SCHEMA_VERSION 1
#define BUSY_MS \
	50 // somebody else reads or copies the file; the control thread does not wait longer

enum statement { BEGIN, COMMIT, PUT, REMOVE, TOUCH, LOAD, DECLARE, DECLARED };
#define STATEMENTS (DECLARED + 1)
// Mostly it says what it said before: nothing is written then, but once a day when it was seen.
#define DECLARE_SQL                                                                           \
	"INSERT INTO declared VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET"                     \
	" anchors = excluded.anchors, seen = excluded.seen WHERE anchors != excluded.anchors" \
	" OR seen NOT BETWEEN excluded.seen - 86400 AND excluded.seen"
static const char *const texts[] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[PUT] = "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?)",
	[REMOVE] = "DELETE FROM leases WHERE address = ?",
	[TOUCH] = "UPDATE leases SET used = ?2 WHERE identity = ?1",
	[LOAD] = "SELECT identity, pool, address, since, used FROM leases ORDER BY used, address",
	[DECLARE] = (DECLARE_SQL),
	[DECLARED] = "SELECT identity, anchors, seen FROM declared ORDER BY identity",
};
static const char schema[] =
	"CREATE TABLE leases (address TEXT PRIMARY KEY, identity TEXT NOT NULL, pool TEXT NOT NULL,"
	" since INTEGER NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX leases_identity ON leases (identity);"
	"PRAGMA user_version = 1;";

// Came later, and an older mutun does not mind it. Whoever has not been seen for longer than a certificate can live is forgotten.
static const char schema_declared[] =
	"CREATE TABLE IF NOT EXISTS declared (identity TEXT PRIMARY KEY, anchors TEXT NOT NULL,"
	" seen INTEGER NOT NULL) WITHOUT ROWID;"
	"DELETE FROM declared WHERE seen < unixepoch() - 400 * 86400;";

struct lease_db {
	sqlite3 *sqlite;
	sqlite3_stmt *statements[STATEMENTS];
};

struct lease_db *lease_db_close(struct lease_db *db)
{
	if (!db)
		return NULL;
	for (unsigned i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(db->statements[i]);
	sqlite3_close(db->sqlite);
	free(db);
	return NULL;
}

// The first column of the first row, as a number; `text` (may be NULL) asks whether it is this text instead.
static int query_one(sqlite3 *sqlite, const char *sql, const char *text, int *ret)
{
	sqlite3_stmt *statement = NULL;
	int r = sqlite3_prepare_v2(sqlite, sql, -1, &statement, NULL);

	if (r == SQLITE_OK) {
		r = sqlite3_step(statement);
		if (r == SQLITE_ROW && text) {
			const unsigned char *found = sqlite3_column_text(statement, 0);
			*ret = found && strcmp((const char *)found, text) == 0;
		} else if (r == SQLITE_ROW) {
			*ret = sqlite3_column_int(statement, 0);
		}
		r = r == SQLITE_ROW ? SQLITE_OK : r == SQLITE_DONE ? SQLITE_CORRUPT : r;
	}
	sqlite3_finalize(statement);
	return r;
}

// SQLite's code. SQLITE_CORRUPT, SQLITE_NOTADB: not a database, or not one of ours.
static int database_prepare(struct lease_db *db)
{
	int version = 0, tables = 0, sound = 0;

	int r = query_one(db->sqlite, "PRAGMA user_version", NULL, &version);
	if (r == SQLITE_OK)
		r = query_one(db->sqlite, "SELECT count(*) FROM sqlite_schema", NULL, &tables);
	if (r == SQLITE_OK)
		r = query_one(db->sqlite, "PRAGMA quick_check(1)", "ok", &sound);
	if (r != SQLITE_OK)
		return r;
	bool fresh = version == 0 && tables == 0;
	if (!sound || (version != SCHEMA_VERSION && !fresh))
		return SQLITE_CORRUPT;
	// Without WAL each lease would wait for the disk; a lease lost with the power costs nothing, its address is found again
	// from the identity.
	r = sqlite3_exec(db->sqlite, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL", NULL,
			 NULL, NULL);
	if (r == SQLITE_OK && fresh)
		r = sqlite3_exec(db->sqlite, schema, NULL, NULL, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_exec(db->sqlite, schema_declared, NULL, NULL, NULL);
	for (unsigned i = 0; i < STATEMENTS && r == SQLITE_OK; i++) {
		r = sqlite3_prepare_v3(db->sqlite, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &db->statements[i], NULL);
		if (r == SQLITE_ERROR) // the table lacks a column, or is not there
			r = SQLITE_CORRUPT;
	}
	return r;
}

// -EUCLEAN: to be moved aside.
static int database_open(const char *path, struct lease_db **ret, struct error *error)
{
	_cleanup_(lease_db_closep) struct lease_db *db = calloc(1, sizeof(*db));

	if (!db)
		return error_set(error, ENOMEM, "out of memory");
	// SQLite would make it with the umask's mode, and say less about what is wrong.
	_cleanup_(closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0) {
		int r = errno;
		error_set(error, r, "the lease database cannot be opened: %s", strerror(r));
		error_where(error, "%s", path);
		error_remedy(error, "make its directory writable for the daemon");
		return -r;
	}
	int r = sqlite3_open_v2(path, &db->sqlite,
				SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW |
					SQLITE_OPEN_EXRESCODE,
				NULL);
	if (r == SQLITE_OK) {
		sqlite3_busy_timeout(db->sqlite, BUSY_MS);
		r = database_prepare(db);
	}
	if (r == SQLITE_OK) {
		*ret = take(db);
		return 0;
	}
	if ((r & 0xff) == SQLITE_CORRUPT || (r & 0xff) == SQLITE_NOTADB)
		return -EUCLEAN;
	error_set(error, EIO, "the lease database cannot be used: %s", sqlite3_errstr(r));
	error_where(error, "%s", path);
	error_remedy(error, "check the file's mode and owner, and the space on its disk");
	return -EIO;
}

static int move(const char *from, const char *from_suffix, const char *to_suffix)
{
	char old[PATH_MAX], new[PATH_MAX];

	if (snprintf(old, sizeof(old), "%s%s", from, from_suffix) >= (int)sizeof(old) ||
	    snprintf(new, sizeof(new), "%s%s", from, to_suffix) >= (int)sizeof(new))
		return -ENAMETOOLONG;
	return rename(old, new) < 0 ? -errno : 0;
}

// The log goes with its database: SQLite would play it into the next file of that name.
static int database_move_aside(const char *path, struct error *error)
{
	int r = move(path, "-wal", ".broken-wal");
	if (r >= 0 || r == -ENOENT)
		r = move(path, "-shm", ".broken-shm");
	if (r >= 0 || r == -ENOENT)
		r = move(path, "", ".broken");
	if (r < 0) {
		error_set(error, -r, "the lease database is damaged and cannot be moved aside: %s",
			  strerror(-r));
		error_where(error, "%s", path);
		error_remedy(error, "move the file away");
		return r;
	}
	log_warning(
		"%s: not a sound database of leases, moved to %s.broken; addresses are assigned "
		"anew, mostly the same ones",
		path, path);
	return 0;
}

int lease_db_open(const char *path, struct lease_db **ret, struct error *error)
{
	int r = database_open(path, ret, error);

	if (r != -EUCLEAN)
		return r;
	r = database_move_aside(path, error);
	if (r < 0)
		return r;
	r = database_open(path, ret, error);
	if (r != -EUCLEAN)
		return r;
	error_set(error, EIO, "a new lease database cannot be read back");
	error_where(error, "%s", path);
	return -EIO;
}

static bool row_read(sqlite3_stmt *load, struct lease_row *row)
{
	const char *pool = (const char *)sqlite3_column_text(load, 1);
	const char *address = (const char *)sqlite3_column_text(load, 2);

	row->identity = (const char *)sqlite3_column_text(load, 0);
	row->since = sqlite3_column_int64(load, 3);
	row->used = sqlite3_column_int64(load, 4);
	return row->identity && pool && address && prefix_parse(pool, &row->pool) >= 0 &&
	       addr_parse(address, &row->address) >= 0;
}

int lease_db_load(struct lease_db *db, int (*each)(const struct lease_row *row, void *data),
		  void *data)
{
	sqlite3_stmt *load = db->statements[LOAD];
	int result = 0;
	int r = sqlite3_step(load);

	while (r == SQLITE_ROW && result >= 0) {
		struct lease_row row;
		if (row_read(load, &row))
			result = each(&row, data);
		r = sqlite3_step(load);
	}
	sqlite3_reset(load);
	if (result < 0)
		return result;
	return r == SQLITE_DONE ? 0 : -EIO;
}

// Runs a statement whose parameters are bound.
static void statement_run(struct lease_db *db, enum statement which)
{
	sqlite3_stmt *statement = db->statements[which];
	int r = sqlite3_step(statement);

	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	if (r != SQLITE_DONE)
		log_limited(LOG_LEVEL_WARNING, "leases are not written: %s", sqlite3_errstr(r));
}

void lease_db_begin(struct lease_db *db)
{
	if (db)
		statement_run(db, BEGIN);
}

void lease_db_commit(struct lease_db *db)
{
	// BEGIN may have failed, and a failed statement may have ended it.
	if (db && !sqlite3_get_autocommit(db->sqlite))
		statement_run(db, COMMIT);
	if (db && !sqlite3_get_autocommit(db->sqlite))
		sqlite3_exec(db->sqlite, "ROLLBACK", NULL, NULL, NULL);
}

void lease_db_put(struct lease_db *db, const struct lease_row *row)
{
	if (!db)
		return;
	sqlite3_stmt *put = db->statements[PUT];
	char address[ADDR_TEXT_MAX], pool[PREFIX_TEXT_MAX];

	sqlite3_bind_text(put, 1, addr_text(&row->address, address), -1, SQLITE_STATIC);
	sqlite3_bind_text(put, 2, row->identity, -1, SQLITE_STATIC);
	sqlite3_bind_text(put, 3, prefix_text(&row->pool, pool), -1, SQLITE_STATIC);
	sqlite3_bind_int64(put, 4, row->since);
	sqlite3_bind_int64(put, 5, row->used);
	statement_run(db, PUT);
}

void lease_db_remove(struct lease_db *db, const struct addr *address)
{
	char text[ADDR_TEXT_MAX];

	if (!db)
		return;
	sqlite3_bind_text(db->statements[REMOVE], 1, addr_text(address, text), -1, SQLITE_STATIC);
	statement_run(db, REMOVE);
}

void lease_db_touch(struct lease_db *db, const char *identity, time_t used)
{
	if (!db)
		return;
	sqlite3_bind_text(db->statements[TOUCH], 1, identity, -1, SQLITE_STATIC);
	sqlite3_bind_int64(db->statements[TOUCH], 2, used);
	statement_run(db, TOUCH);
}

void lease_db_declare(struct lease_db *db, const struct declared_row *row)
{
	if (!db)
		return;
	sqlite3_stmt *declare = db->statements[DECLARE];

	sqlite3_bind_text(declare, 1, row->identity, -1, SQLITE_STATIC);
	sqlite3_bind_text(declare, 2, row->anchors, -1, SQLITE_STATIC);
	sqlite3_bind_int64(declare, 3, row->seen);
	statement_run(db, DECLARE);
}

int lease_db_declared(struct lease_db *db, int (*each)(const struct declared_row *row, void *data),
		      void *data)
{
	int result = 0;
	int r = SQLITE_DONE;

	if (!db)
		return 0;
	while (result >= 0 && (r = sqlite3_step(db->statements[DECLARED])) == SQLITE_ROW) {
		struct declared_row row = {
			.identity = (const char *)sqlite3_column_text(db->statements[DECLARED], 0),
			.anchors = (const char *)sqlite3_column_text(db->statements[DECLARED], 1),
			.seen = sqlite3_column_int64(db->statements[DECLARED], 2),
		};
		if (row.identity && row.anchors)
			result = each(&row, data);
	}
	sqlite3_reset(db->statements[DECLARED]);
	if (result < 0)
		return result;
	return r == SQLITE_DONE ? 0 : -EIO;
}
