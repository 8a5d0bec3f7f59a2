// SPDX-License-Identifier: Apache-2.0
// The one file that speaks to SQLite. A rollback journal and synchronous=FULL: what journal_add() returned for survives a
// power cut, and the database is one file at rest.

#include "pki/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sqlite3.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/hex.h"
#include "pki/ca.h"

#define BUSY_MS	       5000
#define SCHEMA_VERSION 3

struct journal {
	sqlite3 *database;
	char *path;
};

static const char schema[] = "BEGIN IMMEDIATE;"
			     "CREATE TABLE certificates ("
			     " serial TEXT PRIMARY KEY NOT NULL,"
			     " identity TEXT NOT NULL,"
			     " dns TEXT,"
			     " issued INTEGER NOT NULL,"
			     " not_before INTEGER NOT NULL,"
			     " not_after INTEGER NOT NULL,"
			     " spki_sha256 TEXT NOT NULL);"
			     "CREATE INDEX certificates_identity ON certificates (identity);"
			     "COMMIT;";

// What each format adds to the one before it; the first is `schema` itself.
static const char second[] = "BEGIN IMMEDIATE;"
			     "ALTER TABLE certificates ADD COLUMN issued_by TEXT;"
			     "ALTER TABLE certificates ADD COLUMN certificate BLOB;"
			     "CREATE TABLE tokens ("
			     " id TEXT PRIMARY KEY NOT NULL,"
			     " secret_sha256 BLOB NOT NULL UNIQUE,"
			     " identity TEXT NOT NULL," // or a pattern
			     " created INTEGER NOT NULL,"
			     " expires INTEGER NOT NULL,"
			     " lifetime_s INTEGER NOT NULL,"
			     " revoked INTEGER,"
			     " used INTEGER,"
			     " serial TEXT,"	      // of the certificate it was used for
			     " request_sha256 BLOB);" // of the request it was used with
			     "PRAGMA user_version = 2;"
			     "COMMIT;";

static const char third[] = "BEGIN IMMEDIATE;"
			    "CREATE TABLE denials ("
			    " number INTEGER PRIMARY KEY NOT NULL,"
			    " name BLOB NOT NULL," // what is denied, or allowed again
			    " text TEXT NOT NULL,"
			    " hash BLOB NOT NULL,"
			    " signature TEXT NOT NULL,"
			    " signer TEXT NOT NULL);" // certificates, base64
			    "CREATE INDEX denials_name ON denials (name);"
			    "CREATE TABLE crls ("
			    " number INTEGER PRIMARY KEY NOT NULL,"
			    " issued INTEGER NOT NULL,"
			    " next INTEGER NOT NULL);"
			    "PRAGMA user_version = 3;"
			    "COMMIT;";

static const char *const upgrades[] = {[1] = second, [2] = third}; // from each format to the next

DEFINE_CLEANUP(sqlite3_stmt *, sqlite3_finalize);

// Says what SQLite says, as an errno.
int journal_failed(const struct journal *journal, struct error *error)
{
	int code = journal->database ? sqlite3_errcode(journal->database) : SQLITE_NOMEM;
	int number = code == SQLITE_BUSY || code == SQLITE_LOCKED     ? EBUSY
		     : code == SQLITE_NOMEM			      ? ENOMEM
		     : code == SQLITE_FULL			      ? ENOSPC
		     : code == SQLITE_READONLY || code == SQLITE_PERM ? EROFS
								      : EIO;

	error_set(error, number, "the journal cannot be used: %s",
		  journal->database ? sqlite3_errmsg(journal->database) : "out of memory");
	error_where(error, "%s", journal->path);
	if (number == EBUSY)
		error_remedy(error, "another process holds it; try again when that is done");
	if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
		error_remedy(error, "restore it from a backup");
	return -number;
}

static int read_version(const struct journal *journal, int *ret, struct error *error)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(journal->database, "PRAGMA user_version", -1, &statement, NULL) !=
		    SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_ROW)
		return journal_failed(journal, error);
	*ret = sqlite3_column_int(statement, 0);
	return 0;
}

static int change(const struct journal *journal, const char *text, struct error *error)
{
	return sqlite3_exec(journal->database, text, NULL, NULL, NULL) == SQLITE_OK
		       ? 0
		       : journal_failed(journal, error);
}

// Two processes may both find an old format: the second one fails to change it again, and looks once more.
static int upgrade(const struct journal *journal, int *version, struct error *error)
{
	int before = *version;
	int upgraded = change(journal, upgrades[before], error);

	if (upgraded < 0)
		sqlite3_exec(journal->database, "ROLLBACK", NULL, NULL, NULL);
	int r = read_version(journal, version, error);
	return r == 0 && *version == before ? upgraded : r;
}

static int check_schema(const struct journal *journal, struct error *error)
{
	int version = 0;
	int r = read_version(journal, &version, error);
	while (r == 0 && version > 0 && version < SCHEMA_VERSION)
		r = upgrade(journal, &version, error);
	if (r < 0 || version == SCHEMA_VERSION)
		return r;
	error_set(error, EINVAL, "the journal has the format %d", version);
	error_where(error, "%s", journal->path);
	error_expected(error, "format %d", SCHEMA_VERSION);
	return error_remedy(error, version > SCHEMA_VERSION ? "a newer mutun wrote it: use that one"
							    : "restore it from a backup");
}

// Opens without any look at what the file holds.
static int open_file(const char *path, struct journal **ret, struct error *error)
{
	_cleanup_(journal_closep) struct journal *journal = calloc(1, sizeof(*journal));

	if (!journal || !(journal->path = strdup(path))) {
		error_set(error, ENOMEM, "out of memory");
		return -ENOMEM;
	}
	if (sqlite3_open_v2(path, &journal->database, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		return journal_failed(journal, error);
	sqlite3_busy_timeout(journal->database, BUSY_MS);
	if (sqlite3_exec(journal->database,
			 "PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;", NULL, NULL,
			 NULL) != SQLITE_OK)
		return journal_failed(journal, error);
	*ret = take(journal);
	return 0;
}

int journal_create(const char *path, struct error *error)
{
	// SQLite would make it readable for everybody; its own temporary files take over the mode of this one.
	_cleanup_(closep) int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		int code = errno;
		error_set(error, code, "the journal cannot be made: %s", strerror(code));
		return error_where(error, "%s", path);
	}
	_cleanup_(journal_closep) struct journal *journal = NULL;
	int r = open_file(path, &journal, error);
	if (!journal)
		return r;
	r = change(journal, schema, error);
	for (int version = 1; r == 0 && version < SCHEMA_VERSION; version++)
		r = change(journal, upgrades[version], error);
	return r;
}

int journal_open(const char *path, struct journal **ret, struct error *error)
{
	_cleanup_(journal_closep) struct journal *journal = NULL;

	int r = open_file(path, &journal, error);
	if (!journal)
		return r;
	r = check_schema(journal, error);
	if (r < 0)
		return r;
	*ret = take(journal);
	return 0;
}

struct journal *journal_close(struct journal *journal)
{
	if (!journal)
		return NULL;
	sqlite3_close(journal->database);
	free(journal->path);
	free(journal);
	return NULL;
}

static int bind_text(sqlite3_stmt *statement, int index, const char *text)
{
	return text ? sqlite3_bind_text(statement, index, text, -1, SQLITE_TRANSIENT)
		    : sqlite3_bind_null(statement, index);
}

int journal_add(struct journal *journal, const struct journal_record *record, struct error *error)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
	char spki[HEX_TEXT_MAX(SPKI_HASH_SIZE)];

	hex_text(record->spki_hash, SPKI_HASH_SIZE, spki);
	if (sqlite3_prepare_v2(journal->database,
			       "INSERT INTO certificates (serial, identity, dns, issued, "
			       "not_before, not_after, spki_sha256, issued_by, certificate) "
			       "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
			       -1, &statement, NULL) != SQLITE_OK ||
	    bind_text(statement, 1, record->serial) != SQLITE_OK ||
	    bind_text(statement, 2, record->identity) != SQLITE_OK ||
	    bind_text(statement, 3, record->dns) != SQLITE_OK ||
	    sqlite3_bind_int64(statement, 4, record->issued) != SQLITE_OK ||
	    sqlite3_bind_int64(statement, 5, record->not_before) != SQLITE_OK ||
	    sqlite3_bind_int64(statement, 6, record->not_after) != SQLITE_OK ||
	    bind_text(statement, 7, spki) != SQLITE_OK ||
	    bind_text(statement, 8, record->issued_by) != SQLITE_OK ||
	    sqlite3_bind_blob64(statement, 9, record->der, record->der_size, SQLITE_TRANSIENT) !=
		    SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_DONE)
		return journal_failed(journal, error);
	return 0;
}

int journal_begin(struct journal *journal, struct error *error)
{
	return change(journal, "BEGIN IMMEDIATE", error);
}

int journal_end(struct journal *journal, bool commit, struct error *error)
{
	int r = change(journal, commit ? "COMMIT" : "ROLLBACK", error);
	if (r < 0 && commit)
		sqlite3_exec(journal->database, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

int journal_certificate(struct journal *journal, const char *serial, uint8_t **ret,
			size_t *ret_size, struct error *error)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(journal->database,
			       "SELECT certificate FROM certificates WHERE serial = ?", -1,
			       &statement, NULL) != SQLITE_OK ||
	    bind_text(statement, 1, serial) != SQLITE_OK)
		return journal_failed(journal, error);
	int r = sqlite3_step(statement);
	if (r != SQLITE_ROW && r != SQLITE_DONE)
		return journal_failed(journal, error);
	const void *blob = r == SQLITE_ROW ? sqlite3_column_blob(statement, 0) : NULL;
	if (!blob)
		return error_set(error, ENOENT, "the journal has no certificate %s", serial);
	size_t size = (size_t)sqlite3_column_bytes(statement, 0);
	uint8_t *der = malloc(size);
	if (!der)
		return error_set(error, ENOMEM, "out of memory");
	memcpy(der, blob, size);
	*ret = der;
	*ret_size = size;
	return 0;
}

int journal_other_key(struct journal *journal, const char *identity,
		      const uint8_t spki_hash[SPKI_HASH_SIZE], time_t now, bool *ret,
		      struct error *error)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
	char spki[HEX_TEXT_MAX(SPKI_HASH_SIZE)];

	hex_text(spki_hash, SPKI_HASH_SIZE, spki);
	if (sqlite3_prepare_v2(journal->database,
			       "SELECT 1 FROM certificates WHERE identity = ? AND not_after > ? "
			       "AND spki_sha256 <> ? LIMIT 1",
			       -1, &statement, NULL) != SQLITE_OK ||
	    bind_text(statement, 1, identity) != SQLITE_OK ||
	    sqlite3_bind_int64(statement, 2, now) != SQLITE_OK ||
	    bind_text(statement, 3, spki) != SQLITE_OK)
		return journal_failed(journal, error);
	int r = sqlite3_step(statement);
	if (r != SQLITE_ROW && r != SQLITE_DONE)
		return journal_failed(journal, error);
	*ret = r == SQLITE_ROW;
	return 0;
}

// One number about the newest certificates of an identity. They are found by the index, however many there are.
static int ask_number(struct journal *journal, const char *query, const char *identity,
		      unsigned count, int64_t *ret, struct error *error)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(journal->database, query, -1, &statement, NULL) != SQLITE_OK ||
	    bind_text(statement, 1, identity) != SQLITE_OK ||
	    sqlite3_bind_int64(statement, 2, count) != SQLITE_OK)
		return journal_failed(journal, error);
	int r = sqlite3_step(statement);
	if (r != SQLITE_ROW && r != SQLITE_DONE)
		return journal_failed(journal, error);
	*ret = r == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
	return 0;
}

int journal_issued(struct journal *journal, const char *identity, unsigned count, time_t *ret,
		   struct error *error)
{
	int64_t when = 0;
	int r = ask_number(journal,
			   "SELECT issued FROM certificates WHERE identity = ? "
			   "ORDER BY rowid DESC LIMIT 1 OFFSET ?",
			   identity, count - 1, &when, error);

	if (r == 0)
		*ret = (time_t)when;
	return r;
}

int journal_longest(struct journal *journal, const char *identity, unsigned count, int64_t *ret,
		    struct error *error)
{
	return ask_number(journal,
			  "SELECT max(not_after - not_before) FROM (SELECT not_after, not_before "
			  "FROM certificates WHERE identity = ? ORDER BY rowid DESC LIMIT ?)",
			  identity, count, ret, error);
}

struct sqlite3 *journal_database(const struct journal *journal)
{
	return journal->database;
}
