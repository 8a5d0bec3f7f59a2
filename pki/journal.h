// SPDX-License-Identifier: Apache-2.0
// What a CA remembers: one row for every leaf that it signed, in an SQLite database that others may read
// ("SELECT * FROM certificates").
#pragma once

#include <stdint.h>
#include <time.h>

#include "base/cleanup.h"
#include "pki/certificate.h"

struct ca_entry;
struct error;
struct journal;

struct journal_record {
	const char *serial; // hexadecimal
	const char *identity;
	const char *dns; // or NULL
	time_t issued;
	time_t not_before;
	time_t not_after;
	uint8_t spki_hash[SPKI_HASH_SIZE];
};

// Makes an empty journal, mode 0600; -EEXIST when the file exists.
int journal_create(const char *path, struct error *error);
int journal_open(const char *path, struct journal **ret, struct error *error);
struct journal *journal_close(struct journal *journal); // takes NULL, returns NULL
DEFINE_CLEANUP(struct journal *, journal_close);

// Returns when the row is on the disk. -EIO, -EBUSY when another process holds the journal for more than 5 s.
int journal_add(struct journal *journal, const struct journal_record *record, struct error *error);

// As ca_list().
int journal_walk(struct journal *journal, int (*each)(const struct ca_entry *entry, void *data),
		 void *data, struct error *error);
