// SPDX-License-Identifier: Apache-2.0
// What a CA remembers: one row for every leaf that it signed and for every enrolment token, in an SQLite database that others
// may read ("SELECT * FROM certificates"). Tokens have their functions in pki/token.h, and pki/record.h looks things up.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/cleanup.h"
#include "pki/certificate.h"

struct error;
struct journal;
struct sqlite3;

struct journal_record {
	const char *serial; // hexadecimal
	const char *identity;
	const char *dns; // or NULL
	time_t issued;
	time_t not_before;
	time_t not_after;
	uint8_t spki_hash[SPKI_HASH_SIZE];
	const char *issued_by; // "operator", "token 1f3a…", "renewal of SERIAL"
	const uint8_t *der;    // the certificate
	size_t der_size;
};

// Makes an empty journal, mode 0600; -EEXIST when the file exists.
int journal_create(const char *path, struct error *error);
int journal_open(const char *path, struct journal **ret, struct error *error);
struct journal *journal_close(struct journal *journal); // takes NULL, returns NULL
DEFINE_CLEANUP(struct journal *, journal_close);

// Returns when the row is on the disk. -EIO, -EBUSY when another process holds the journal for more than 5 s.
int journal_add(struct journal *journal, const struct journal_record *record, struct error *error);

// Several changes as one: all or none. journal_add() and what else is written between these two belongs to it. Rolling back is
// what journal_end() does unless `commit`. -EBUSY as above.
int journal_begin(struct journal *journal, struct error *error);
int journal_end(struct journal *journal, bool commit, struct error *error);

// The certificate of this serial number in DER, new. -ENOENT.
int journal_certificate(struct journal *journal, const char *serial, uint8_t **ret,
			size_t *ret_size, struct error *error);
// Whether `identity` has a certificate that has not expired by `now`, for another key than `spki_hash`.
int journal_other_key(struct journal *journal, const char *identity,
		      const uint8_t spki_hash[SPKI_HASH_SIZE], time_t now, bool *ret,
		      struct error *error);
// When the certificate of `identity` was issued before which there are `count` - 1 newer ones; 0: there are less.
int journal_issued(struct journal *journal, const char *identity, unsigned count, time_t *ret,
		   struct error *error);
// The longest time in seconds that one of the `count` newest certificates of `identity` is valid; 0: there is none.
int journal_longest(struct journal *journal, const char *identity, unsigned count, int64_t *ret,
		    struct error *error);

// For the files that keep other tables in it: the database, borrowed, and what went wrong with it as an errno.
struct sqlite3 *journal_database(const struct journal *journal);
int journal_failed(const struct journal *journal, struct error *error);
