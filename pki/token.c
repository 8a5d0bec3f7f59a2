// SPDX-License-Identifier: Apache-2.0

#include "pki/token.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <sqlite3.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/hex.h"
#include "pki/identity.h"
#include "pki/journal.h"
#include "pki/tls.h"

#define PREFIX	  "mutun-"
#define VERSION	  1u
#define FIXED	  (1 + TOKEN_DIGEST_SIZE + TOKEN_SECRET_SIZE)
#define BYTES_MAX (FIXED + 512u)
#define ID_BYTES  8

DEFINE_CLEANUP(sqlite3_stmt *, sqlite3_finalize);

char *token_text(const struct token *token)
{
	size_t server = strlen(token->server);
	uint8_t bytes[BYTES_MAX];
	char *text = NULL;

	if (server > BYTES_MAX - FIXED)
		return NULL;
	bytes[0] = VERSION;
	memcpy(bytes + 1, token->root, TOKEN_DIGEST_SIZE);
	memcpy(bytes + 1 + TOKEN_DIGEST_SIZE, token->secret, TOKEN_SECRET_SIZE);
	memcpy(bytes + FIXED, token->server, server);
	size_t room = sizeof(PREFIX) + (FIXED + server + 2) / 3 * 4;
	text = malloc(room);
	if (text) {
		memcpy(text, PREFIX, sizeof(PREFIX) - 1);
		char *body = text + sizeof(PREFIX) - 1;
		EVP_EncodeBlock((unsigned char *)body, bytes, (int)(FIXED + server));
		// The alphabet for URLs and file names, without padding (RFC 4648, 5): nothing that a shell reads.
		for (char *at = body; *at; at++)
			*at = (char)(*at == '+' ? '-' : *at == '/' ? '_' : *at == '=' ? '\0' : *at);
	}
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return text;
}

// Base64url into bytes. Returns their number, or 0.
static size_t decode(const char *text, uint8_t bytes[BYTES_MAX + 3])
{
	size_t size = strlen(text), padded = (size + 3) / 4 * 4;
	char standard[(BYTES_MAX + 2) / 3 * 4 + 1];

	if (size % 4 == 1 || padded >= sizeof(standard) || padded / 4 * 3 > BYTES_MAX + 2)
		return 0;
	for (size_t i = 0; i < padded; i++) {
		char c = i < size ? text[i] : '=';
		if (i < size && (c == '+' || c == '/' || c == '='))
			return 0;
		standard[i] = (char)(c == '-' ? '+' : c == '_' ? '/' : c);
	}
	int n = EVP_DecodeBlock(bytes, (const unsigned char *)standard, (int)padded);
	OPENSSL_cleanse(standard, sizeof(standard));
	return n < 0 ? 0 : (size_t)n - (padded - size);
}

int token_parse(const char *text, struct token *ret, struct error *error)
{
	uint8_t bytes[BYTES_MAX + 3];
	size_t size = 0;

	if (strncmp(text, PREFIX, sizeof(PREFIX) - 1) == 0)
		size = decode(text + sizeof(PREFIX) - 1, bytes);
	if (size <= FIXED) {
		error_set(error, EINVAL, "this is no enrolment token, or not all of one");
		error_expected(error, "%s..., as \"mutun enrol-token\" prints it", PREFIX);
		return -EINVAL;
	}
	unsigned version = bytes[0];
	if (version != VERSION) {
		OPENSSL_cleanse(bytes, sizeof(bytes));
		return error_set(error, EINVAL,
				 "the token has the format %u, which this mutun "
				 "does not know",
				 version);
	}
	*ret = (struct token){.server = strndup((const char *)bytes + FIXED, size - FIXED)};
	memcpy(ret->root, bytes + 1, TOKEN_DIGEST_SIZE);
	memcpy(ret->secret, bytes + 1 + TOKEN_DIGEST_SIZE, TOKEN_SECRET_SIZE);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	int r = ret->server ? identity_pattern_check(ret->server, error)
			    : error_set(error, ENOMEM, "out of memory");
	if (r < 0)
		token_done(ret);
	return r;
}

void token_done(struct token *token)
{
	OPENSSL_cleanse(token->secret, sizeof(token->secret));
	free(token->server);
	token->server = NULL;
}

void token_password(const struct token *token, char text[TOKEN_PASSWORD_MAX])
{
	hex_text(token->secret, TOKEN_SECRET_SIZE, text);
}

void token_record_done(struct token_record *record)
{
	free(record->identity);
	free(record->serial);
	record->identity = record->serial = NULL;
}

// Of the password as it is sent.
static bool digest_of(const char *password, uint8_t ret[TOKEN_DIGEST_SIZE])
{
	return SHA256((const unsigned char *)password, strlen(password), ret) != NULL;
}

int token_add(struct journal *journal, const uint8_t secret[TOKEN_SECRET_SIZE],
	      struct token_record *record, struct error *error)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
	char password[TOKEN_PASSWORD_MAX];
	uint8_t digest[TOKEN_DIGEST_SIZE], id[ID_BYTES];

	hex_text(secret, TOKEN_SECRET_SIZE, password);
	bool good =
		digest_of(password, digest) && RAND_bytes_ex(tls_library(), id, sizeof(id), 0) == 1;
	OPENSSL_cleanse(password, sizeof(password));
	if (!good)
		return error_set(error, EIO, "no random bytes");
	hex_text(id, sizeof(id), record->id);
	if (sqlite3_prepare_v2(journal_database(journal),
			       "INSERT INTO tokens (id, secret_sha256, identity, created, expires, "
			       "lifetime_s) VALUES (?, ?, ?, ?, ?, ?)",
			       -1, &statement, NULL) != SQLITE_OK ||
	    sqlite3_bind_text(statement, 1, record->id, -1, SQLITE_TRANSIENT) != SQLITE_OK ||
	    sqlite3_bind_blob(statement, 2, digest, sizeof(digest), SQLITE_TRANSIENT) !=
		    SQLITE_OK ||
	    sqlite3_bind_text(statement, 3, record->identity, -1, SQLITE_TRANSIENT) != SQLITE_OK ||
	    sqlite3_bind_int64(statement, 4, record->created) != SQLITE_OK ||
	    sqlite3_bind_int64(statement, 5, record->expires) != SQLITE_OK ||
	    sqlite3_bind_int64(statement, 6, record->lifetime_s) != SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_DONE)
		return journal_failed(journal, error);
	return 0;
}

#define COLUMNS "id, identity, created, expires, lifetime_s, revoked, used, serial"

// Of a row that has COLUMNS first.
static int read_row(sqlite3_stmt *statement, struct token_record *ret)
{
	const char *id = (const char *)sqlite3_column_text(statement, 0);
	const char *identity = (const char *)sqlite3_column_text(statement, 1);
	const char *serial = (const char *)sqlite3_column_text(statement, 7);

	if (!id || !identity)
		return -EIO;
	*ret = (struct token_record){
		.identity = strdup(identity),
		.created = sqlite3_column_int64(statement, 2),
		.expires = sqlite3_column_int64(statement, 3),
		.lifetime_s = sqlite3_column_int64(statement, 4),
		.revoked = sqlite3_column_int64(statement, 5),
		.used = sqlite3_column_int64(statement, 6),
		.serial = serial ? strdup(serial) : NULL,
	};
	snprintf(ret->id, sizeof(ret->id), "%s", id);
	if (ret->identity && (!serial || ret->serial))
		return 0;
	token_record_done(ret);
	return -ENOMEM;
}

static int judge(const struct token_record *record, bool same_request, time_t now,
		 struct error *error)
{
	if (record->revoked)
		return error_set(error, EACCES, "the token %s was revoked", record->id);
	if (record->used && (!same_request || now - record->used > TOKEN_REDELIVER_S))
		return error_set(error, EACCES, "the token %s has been used", record->id);
	if (!record->used && record->expires <= now)
		return error_set(error, EACCES, "the token %s has expired", record->id);
	return 0;
}

int token_find(struct journal *journal, const char *password,
	       const uint8_t request[TOKEN_DIGEST_SIZE], time_t now, struct token_record *ret,
	       struct error *error)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
	uint8_t digest[TOKEN_DIGEST_SIZE];

	if (!digest_of(password, digest))
		return error_set(error, ENOMEM, "out of memory");
	// Looked up by its hash: how long that takes tells nothing of the secret.
	if (sqlite3_prepare_v2(journal_database(journal),
			       "SELECT " COLUMNS ", request_sha256 FROM tokens "
			       "WHERE secret_sha256 = ?",
			       -1, &statement, NULL) != SQLITE_OK ||
	    sqlite3_bind_blob(statement, 1, digest, sizeof(digest), SQLITE_TRANSIENT) != SQLITE_OK)
		return journal_failed(journal, error);
	int r = sqlite3_step(statement);
	if (r == SQLITE_DONE)
		return error_set(error, EACCES, "no such token");
	if (r != SQLITE_ROW)
		return journal_failed(journal, error);
	r = read_row(statement, ret);
	if (r < 0)
		return error_set(error, -r, "the token cannot be read");
	const void *used_for = sqlite3_column_blob(statement, 8);
	bool same = used_for && sqlite3_column_bytes(statement, 8) == TOKEN_DIGEST_SIZE &&
		    memcmp(used_for, request, TOKEN_DIGEST_SIZE) == 0;
	r = judge(ret, same, now, error);
	if (r < 0)
		token_record_done(ret);
	return r;
}

int token_burn(struct journal *journal, const char *id, const char *serial,
	       const uint8_t request[TOKEN_DIGEST_SIZE], time_t now, struct error *error)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(
		    journal_database(journal),
		    "UPDATE tokens SET used = ?, serial = ?, request_sha256 = ? WHERE id = ?", -1,
		    &statement, NULL) != SQLITE_OK ||
	    sqlite3_bind_int64(statement, 1, now) != SQLITE_OK ||
	    sqlite3_bind_text(statement, 2, serial, -1, SQLITE_TRANSIENT) != SQLITE_OK ||
	    sqlite3_bind_blob(statement, 3, request, TOKEN_DIGEST_SIZE, SQLITE_TRANSIENT) !=
		    SQLITE_OK ||
	    sqlite3_bind_text(statement, 4, id, -1, SQLITE_TRANSIENT) != SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_DONE)
		return journal_failed(journal, error);
	return 0;
}

static bool exists(struct journal *journal, const char *id)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;

	return sqlite3_prepare_v2(journal_database(journal), "SELECT 1 FROM tokens WHERE id = ?",
				  -1, &statement, NULL) == SQLITE_OK &&
	       sqlite3_bind_text(statement, 1, id, -1, SQLITE_TRANSIENT) == SQLITE_OK &&
	       sqlite3_step(statement) == SQLITE_ROW;
}

int token_revoke(struct journal *journal, const char *id, time_t now, struct error *error)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(journal_database(journal),
			       "UPDATE tokens SET revoked = ? "
			       "WHERE id = ? AND used IS NULL AND revoked IS NULL",
			       -1, &statement, NULL) != SQLITE_OK ||
	    sqlite3_bind_int64(statement, 1, now) != SQLITE_OK ||
	    sqlite3_bind_text(statement, 2, id, -1, SQLITE_TRANSIENT) != SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_DONE)
		return journal_failed(journal, error);
	if (sqlite3_changes(journal_database(journal)) == 1)
		return 0;
	return exists(journal, id)
		       ? error_set(error, EALREADY, "the token %s is used or revoked already", id)
		       : error_set(error, ENOENT, "there is no token %s", id);
}

int token_walk(struct journal *journal, int (*each)(const struct token_record *record, void *data),
	       void *data, struct error *error)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
	int r;

	if (sqlite3_prepare_v2(journal_database(journal),
			       "SELECT " COLUMNS " FROM tokens ORDER BY rowid DESC", -1, &statement,
			       NULL) != SQLITE_OK)
		return journal_failed(journal, error);
	while ((r = sqlite3_step(statement)) == SQLITE_ROW) {
		struct token_record record;
		r = read_row(statement, &record);
		if (r < 0)
			return error_set(error, -r, "a token cannot be read");
		r = each(&record, data);
		token_record_done(&record);
		if (r)
			return r;
	}
	return r == SQLITE_DONE ? 0 : journal_failed(journal, error);
}
