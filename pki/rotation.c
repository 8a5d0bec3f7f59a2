// SPDX-License-Identifier: Apache-2.0

#include "pki/rotation.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <openssl/x509v3.h>
#include <sqlite3.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/hex.h"
#include "pki/journal.h"

#define KEY_ID_SIZE 64u

// Made when it is first needed: an older mutun that knows nothing of it does not mind.
static const char schema[] = "CREATE TABLE IF NOT EXISTS rotations ("
			     " id INTEGER PRIMARY KEY NOT NULL,"
			     " what TEXT NOT NULL," // "root" or "issuing"
			     " step TEXT NOT NULL,"
			     " at INTEGER NOT NULL,"
			     " who TEXT NOT NULL,"
			     " old_sha256 TEXT NOT NULL,"
			     " new_sha256 TEXT NOT NULL,"
			     " key_id TEXT," // subject key identifier of a new issuer
			     " stranded TEXT);";

static const char *const step_names[] = {
	[ROTATION_NONE] = "none",	    [ROTATION_PREPARED] = "prepared",
	[ROTATION_ACTIVATED] = "activated", [ROTATION_FINISHED] = "finished",
	[ROTATION_ABORTED] = "aborted",
};

DEFINE_CLEANUP(sqlite3_stmt *, sqlite3_finalize);

const char *rotation_step_name(enum rotation_step step)
{
	return step_names[step];
}

const char *rotation_hash(const X509 *certificate, char text[ROTATION_HASH_TEXT])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned size = 0;

	X509_digest(certificate, EVP_sha256(), hash, &size);
	return hex_text(hash, size, text);
}

static int prepare(struct journal *journal, const char *query, sqlite3_stmt **ret,
		   struct error *error)
{
	sqlite3 *database = journal_database(journal);

	return sqlite3_exec(database, schema, NULL, NULL, NULL) == SQLITE_OK &&
			       sqlite3_prepare_v2(database, query, -1, ret, NULL) == SQLITE_OK
		       ? 0
		       : journal_failed(journal, error);
}

static void copy(sqlite3_stmt *statement, int column, char *ret, size_t size)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	snprintf(ret, size, "%s", text ? text : "");
}

static int read_step(const char *name, enum rotation_step *ret)
{
	for (unsigned i = 0; name && i < sizeof(step_names) / sizeof(step_names[0]); i++)
		if (strcmp(step_names[i], name) == 0) {
			*ret = (enum rotation_step)i;
			return 0;
		}
	return -EINVAL;
}

int rotation_read(struct journal *journal, struct rotation *ret, struct error *error)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
	struct rotation rotation = {.step = ROTATION_NONE};

	int r = prepare(journal,
			"SELECT step, id, at, who, old_sha256, new_sha256 FROM rotations "
			"WHERE what = 'root' ORDER BY id DESC LIMIT 1",
			&statement, error);
	if (r < 0)
		return r;
	int state = sqlite3_step(statement);
	if (state != SQLITE_ROW && state != SQLITE_DONE)
		return journal_failed(journal, error);
	if (state == SQLITE_ROW) {
		r = read_step((const char *)sqlite3_column_text(statement, 0), &rotation.step);
		if (r < 0)
			return error_set(error, EINVAL,
					 "the journal knows a step that this mutun does not");
		rotation.id = sqlite3_column_int64(statement, 1);
		rotation.at = sqlite3_column_int64(statement, 2);
		copy(statement, 3, rotation.who, sizeof(rotation.who));
		copy(statement, 4, rotation.old, sizeof(rotation.old));
		copy(statement, 5, rotation.new, sizeof(rotation.new));
	}
	*ret = rotation;
	return 0;
}

int rotation_read_issuer(struct journal *journal, struct rotation_issuer *ret, struct error *error)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
	struct rotation_issuer issuer = {0};

	int r = prepare(journal,
			"SELECT at, who, old_sha256, new_sha256 FROM rotations "
			"WHERE what = 'issuing' ORDER BY id DESC LIMIT 1",
			&statement, error);
	if (r < 0)
		return r;
	int state = sqlite3_step(statement);
	if (state != SQLITE_ROW && state != SQLITE_DONE)
		return journal_failed(journal, error);
	if (state == SQLITE_ROW) {
		issuer.at = sqlite3_column_int64(statement, 0);
		copy(statement, 1, issuer.who, sizeof(issuer.who));
		copy(statement, 2, issuer.old, sizeof(issuer.old));
		copy(statement, 3, issuer.new, sizeof(issuer.new));
	}
	*ret = issuer;
	return 0;
}

struct row {
	const char *what, *step, *who, *old, *new, *key_id, *stranded;
	time_t at;
};

static int add(struct journal *journal, const struct row *row, struct error *error)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
	const char *texts[] = {row->what, row->step,   row->who,     row->old,
			       row->new,  row->key_id, row->stranded};

	int r = prepare(journal,
			"INSERT INTO rotations (what, step, who, old_sha256, new_sha256, key_id, "
			"stranded, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			&statement, error);
	if (r < 0)
		return r;
	for (int i = 0; i < (int)(sizeof(texts) / sizeof(texts[0])); i++)
		if (texts[i] && sqlite3_bind_text(statement, i + 1, texts[i], -1,
						  SQLITE_TRANSIENT) != SQLITE_OK)
			return journal_failed(journal, error);
	if (sqlite3_bind_int64(statement, 8, row->at) != SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_DONE)
		return journal_failed(journal, error);
	return 0;
}

int rotation_add(struct journal *journal, const struct rotation *rotation, const char *stranded,
		 struct error *error)
{
	struct row row = {.what = "root",
			  .step = step_names[rotation->step],
			  .who = rotation->who,
			  .old = rotation->old,
			  .new = rotation->new,
			  .stranded = stranded,
			  .at = rotation->at};

	return add(journal, &row, error);
}

static const char *key_id_text(const ASN1_OCTET_STRING *id, char text[HEX_TEXT_MAX(KEY_ID_SIZE)])
{
	size_t size = id ? (size_t)ASN1_STRING_length(id) : 0;

	return hex_text(id ? ASN1_STRING_get0_data(id) : NULL,
			size < KEY_ID_SIZE ? size : KEY_ID_SIZE, text);
}

int rotation_add_issuer(struct journal *journal, const struct rotation_issuer *issuer,
			const X509 *certificate, struct error *error)
{
	char key_id[HEX_TEXT_MAX(KEY_ID_SIZE)];
	struct row row = {
		.what = "issuing",
		.step = "replaced",
		.who = issuer->who,
		.old = issuer->old,
		.new = issuer->new,
		.key_id = key_id_text(X509_get0_subject_key_id((X509 *)certificate), key_id),
		.at = issuer->at};

	return add(journal, &row, error);
}

bool rotation_signed_since(struct journal *journal, int64_t id, const X509 *leaf)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
	char key_id[HEX_TEXT_MAX(KEY_ID_SIZE)];

	key_id_text(X509_get0_authority_key_id((X509 *)leaf), key_id);
	return prepare(journal,
		       "SELECT 1 FROM rotations WHERE what = 'issuing' AND id > ? AND key_id = ?",
		       &statement, NULL) == 0 &&
	       sqlite3_bind_int64(statement, 1, id) == SQLITE_OK &&
	       sqlite3_bind_text(statement, 2, key_id, -1, SQLITE_TRANSIENT) == SQLITE_OK &&
	       sqlite3_step(statement) == SQLITE_ROW;
}
