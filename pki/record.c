// SPDX-License-Identifier: Apache-2.0

#include "pki/record.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sqlite3.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pki/identity.h"
#include "pki/journal.h"
#include "pki/tls.h"

// By row, which is the order of issuing under any clock.
static const char query[] =
	"SELECT serial, identity, dns, issued, not_before, not_after, spki_sha256, issued_by, "
	"certificate FROM certificates WHERE (?1 IS NULL OR serial = ?1) AND not_after > ?2 "
	"ORDER BY rowid DESC";

DEFINE_CLEANUP(sqlite3_stmt *, sqlite3_finalize);

static const char *text_of(sqlite3_stmt *statement, int column)
{
	return (const char *)sqlite3_column_text(statement, column);
}

static void read_row(sqlite3_stmt *statement, struct record *ret)
{
	*ret = (struct record){
		.serial = text_of(statement, 0),
		.identity = text_of(statement, 1),
		.dns = text_of(statement, 2),
		.issued = sqlite3_column_int64(statement, 3),
		.not_before = sqlite3_column_int64(statement, 4),
		.not_after = sqlite3_column_int64(statement, 5),
		.spki = text_of(statement, 6),
		.issued_by = text_of(statement, 7),
		.der = sqlite3_column_blob(statement, 8),
		.der_size = (size_t)sqlite3_column_bytes(statement, 8),
	};
}

X509 *record_certificate(const struct record *record)
{
	const unsigned char *at = record->der;
	X509 *certificate = at ? X509_new_ex(tls_library(), NULL) : NULL;

	// A reused object keeps its library context; where decoding fails it is freed.
	return certificate ? d2i_X509(&certificate, &at, (long)record->der_size) : NULL;
}

static bool passes(const struct record_filter *filter, const struct record *record)
{
	const char *by = filter->issued_by;

	if (by && (!record->issued_by || strncmp(record->issued_by, by, strlen(by)) != 0))
		return false;
	return !filter->identity || identity_match(filter->identity, record->identity);
}

int record_walk(struct journal *journal, const struct record_filter *filter,
		int (*each)(const struct record *record, void *data), void *data,
		struct error *error)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
	struct record record;
	int r;

	if (sqlite3_prepare_v2(journal_database(journal), query, -1, &statement, NULL) !=
		    SQLITE_OK ||
	    (filter->serial &&
	     sqlite3_bind_text(statement, 1, filter->serial, -1, SQLITE_STATIC) != SQLITE_OK) ||
	    sqlite3_bind_int64(statement, 2, filter->ends_after) != SQLITE_OK)
		return journal_failed(journal, error);
	while ((r = sqlite3_step(statement)) == SQLITE_ROW) {
		read_row(statement, &record);
		if (!record.serial || !record.identity)
			return journal_failed(journal, error);
		r = passes(filter, &record) ? each(&record, data) : 0;
		if (r)
			return r;
	}
	return r == SQLITE_DONE ? 0 : journal_failed(journal, error);
}
