// SPDX-License-Identifier: Apache-2.0
// Enrolment tokens: what lets a device that has no certificate yet ask for its first one, once. The text that a device is
// given also says by which root certificate and identity it knows the server, so that it gives the secret to nobody else. The
// CA keeps only a hash of the secret.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/cleanup.h"

struct error;
struct journal;

#define TOKEN_SECRET_SIZE 16u
#define TOKEN_DIGEST_SIZE 32u // SHA-256
#define TOKEN_ID_MAX	  17  // 16 hexadecimal digits, and a NUL
#define TOKEN_REDELIVER_S \
	60 // the answer to the same request, once more: the first may have been lost

// What a device is given.
struct token {
	uint8_t root[TOKEN_DIGEST_SIZE]; // SHA-256 of the DER of the root certificate
	uint8_t secret[TOKEN_SECRET_SIZE];
	char *server; // pattern that the server's identity must match
};

// "mutun-" and base64url. Returns a new string, to be wiped by whoever shows it; NULL: out of memory.
char *token_text(const struct token *token);
// -EINVAL with the reason.
int token_parse(const char *text, struct token *ret, struct error *error);
void token_done(struct token *token); // wipes
// The secret as the password of HTTP Basic authentication (RFC 7617): 32 hexadecimal digits.
#define TOKEN_PASSWORD_MAX (2 * TOKEN_SECRET_SIZE + 1)
#define TOKEN_USER	   "token"
void token_password(const struct token *token, char text[TOKEN_PASSWORD_MAX]);

// What the CA knows of one.
struct token_record {
	char id[TOKEN_ID_MAX];
	char *identity; // or a pattern
	time_t created, expires;
	int64_t lifetime_s;   // of the certificate
	time_t revoked, used; // 0: not
	char *serial;	      // of the certificate it was used for; NULL: none
};
void token_record_done(struct token_record *record);

// Remembers a new one; fills `record->id`.
int token_add(struct journal *journal, const uint8_t secret[TOKEN_SECRET_SIZE],
	      struct token_record *record, struct error *error);
// Finds the token of a password, and whether it may be used at `now` for the request with this digest. -EACCES with the
// reason: unknown, expired, revoked, used up. With `serial` set in the record it has just been used for this very request.
int token_find(struct journal *journal, const char *password,
	       const uint8_t request[TOKEN_DIGEST_SIZE], time_t now, struct token_record *ret,
	       struct error *error);
// It is used up. Belongs into the transaction that adds the certificate.
int token_burn(struct journal *journal, const char *id, const char *serial,
	       const uint8_t request[TOKEN_DIGEST_SIZE], time_t now, struct error *error);
// -ENOENT: no such token. -EALREADY: it is used or revoked.
int token_revoke(struct journal *journal, const char *id, time_t now, struct error *error);
// Newest first; a non-zero return stops the walk and is returned.
int token_walk(struct journal *journal, int (*each)(const struct token_record *record, void *data),
	       void *data, struct error *error);
