// SPDX-License-Identifier: Apache-2.0

#include "pki/denial_journal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sqlite3.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pki/denial.h"
#include "pki/denial_signer.h"
#include "pki/denials.h"
#include "pki/journal.h"

#define COLUMNS "text, hash, signature, signer"

DEFINE_CLEANUP(sqlite3_stmt *, sqlite3_finalize);

static int prepare(struct journal *journal, const char *text, sqlite3_stmt **ret,
		   struct error *error)
{
	return sqlite3_prepare_v2(journal_database(journal), text, -1, ret, NULL) == SQLITE_OK
		       ? 0
		       : journal_failed(journal, error);
}

// The entry in a row with COLUMNS. `before` (may be NULL) is an entry whose signer is shared where it is the same.
static int read_row(sqlite3_stmt *row, const struct denial *before, struct denial **ret,
		    struct error *error)
{
	_cleanup_(denial_putp) struct denial *entry = NULL;
	const char *text = (const char *)sqlite3_column_text(row, 0);
	const void *hash = sqlite3_column_blob(row, 1);
	const char *signature = (const char *)sqlite3_column_text(row, 2);
	const char *signer = (const char *)sqlite3_column_text(row, 3);

	if (!text || !signature || !signer || !hash ||
	    sqlite3_column_bytes(row, 1) != (int)DENIAL_HASH_SIZE)
		return error_set(error, EIO, "a denial in the journal cannot be read");
	int r = denial_parse(text, strlen(text), &entry, error);
	if (r < 0)
		return r;
	memcpy(entry->hash, hash, DENIAL_HASH_SIZE);
	entry->signature = strdup(signature);
	entry->signer = before && strcmp(denial_signer_text(before->signer), signer) == 0
				? denial_signer_get(before->signer)
				: denial_signer_new(signer, strlen(signer));
	if (!entry->signature || !entry->signer)
		return error_set(error, ENOMEM, "out of memory");
	*ret = take(entry);
	return 0;
}

static int read_one(struct journal *journal, sqlite3_stmt *statement, struct denial **ret,
		    struct error *error)
{
	int r = sqlite3_step(statement);

	*ret = NULL;
	if (r == SQLITE_DONE)
		return 0;
	return r == SQLITE_ROW ? read_row(statement, NULL, ret, error)
			       : journal_failed(journal, error);
}

int denial_journal_last(struct journal *journal, struct denial **ret, struct error *error)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
	int r = prepare(journal, "SELECT " COLUMNS " FROM denials ORDER BY number DESC LIMIT 1",
			&statement, error);

	return r < 0 ? r : read_one(journal, statement, ret, error);
}

int denial_journal_find(struct journal *journal, const uint8_t *name, size_t size,
			struct denial **ret, struct error *error)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
	int r = prepare(journal,
			"SELECT " COLUMNS
			" FROM denials WHERE name = ? ORDER BY number DESC LIMIT 1",
			&statement, error);

	if (r == 0 && sqlite3_bind_blob64(statement, 1, name, size, SQLITE_TRANSIENT) != SQLITE_OK)
		r = journal_failed(journal, error);
	return r < 0 ? r : read_one(journal, statement, ret, error);
}

int denial_journal_find_serial(struct journal *journal, const uint8_t *serial, size_t size,
			       struct denial **ret, struct error *error)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
	int r = prepare(journal,
			"SELECT " COLUMNS " FROM denials WHERE substr(name, 1, 1) = x'00' AND "
			"substr(name, 34) = ? LIMIT 1",
			&statement, error);

	static_assert(DENIAL_SERIAL == 0 && SPKI_HASH_SIZE == 32, "as the names begin");
	if (r == 0 &&
	    sqlite3_bind_blob64(statement, 1, serial, size, SQLITE_TRANSIENT) != SQLITE_OK)
		r = journal_failed(journal, error);
	return r < 0 ? r : read_one(journal, statement, ret, error);
}

int denial_journal_add(struct journal *journal, const struct denial *entry, struct error *error)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
	int r = prepare(journal,
			"INSERT INTO denials (number, name, text, hash, signature, signer) "
			"VALUES (?, ?, ?, ?, ?, ?)",
			&statement, error);

	if (r < 0)
		return r;
	if (sqlite3_bind_int64(statement, 1, (sqlite3_int64)entry->number) != SQLITE_OK ||
	    sqlite3_bind_blob64(statement, 2, entry->name, entry->name_size, SQLITE_TRANSIENT) !=
		    SQLITE_OK ||
	    sqlite3_bind_text(statement, 3, entry->text, (int)entry->text_size, SQLITE_TRANSIENT) !=
		    SQLITE_OK ||
	    sqlite3_bind_blob(statement, 4, entry->hash, DENIAL_HASH_SIZE, SQLITE_TRANSIENT) !=
		    SQLITE_OK ||
	    sqlite3_bind_text(statement, 5, entry->signature, -1, SQLITE_TRANSIENT) != SQLITE_OK ||
	    sqlite3_bind_text(statement, 6, denial_signer_text(entry->signer), -1,
			      SQLITE_TRANSIENT) != SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_DONE)
		return journal_failed(journal, error);
	return 0;
}

int denial_journal_sign(struct journal *journal, const struct denial *entry, struct error *error)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
	int r = prepare(journal, "UPDATE denials SET signature = ?, signer = ? WHERE number = ?",
			&statement, error);

	if (r < 0)
		return r;
	if (sqlite3_bind_text(statement, 1, entry->signature, -1, SQLITE_TRANSIENT) != SQLITE_OK ||
	    sqlite3_bind_text(statement, 2, denial_signer_text(entry->signer), -1,
			      SQLITE_TRANSIENT) != SQLITE_OK ||
	    sqlite3_bind_int64(statement, 3, (sqlite3_int64)entry->number) != SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_DONE)
		return journal_failed(journal, error);
	return 0;
}

int denial_journal_load(struct journal *journal, const char *domain, struct denials **ret,
			struct error *error)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
	_cleanup_(denial_entries_done) struct denial_entries entries = {0};
	int step = SQLITE_DONE;
	int r = prepare(journal, "SELECT " COLUMNS " FROM denials ORDER BY number", &statement,
			error);

	while (r == 0 && (step = sqlite3_step(statement)) == SQLITE_ROW) {
		const struct denial *before =
			entries.count ? entries.list[entries.count - 1] : NULL;
		struct denial *entry = NULL;
		r = read_row(statement, before, &entry, error);
		if (r == 0 && denial_entries_push(&entries, entry) < 0) {
			denial_put(entry);
			r = error_set(error, ENOMEM, "out of memory");
		}
	}
	if (r < 0)
		return r;
	if (step != SQLITE_DONE)
		return journal_failed(journal, error);
	*ret = NULL;
	return entries.count ? denials_append(NULL, domain, entries.list, entries.count, ret, error)
			     : 0;
}
