// SPDX-License-Identifier: Apache-2.0
// The denials of a CA in its journal (pki/journal.h), where they are first written.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct denial;
struct denials;
struct error;
struct journal;

// The last entry, new; NULL where there is none.
int denial_journal_last(struct journal *journal, struct denial **ret, struct error *error);
// The newest entry about a name (pki/denial.h), new; NULL where there is none.
int denial_journal_find(struct journal *journal, const uint8_t *name, size_t size,
			struct denial **ret, struct error *error);
// The same for a serial number under any issuer.
int denial_journal_find_serial(struct journal *journal, const uint8_t *serial, size_t size,
			       struct denial **ret, struct error *error);
// Adds an entry that is hashed and signed; in a transaction with the look at the last.
int denial_journal_add(struct journal *journal, const struct denial *entry, struct error *error);
// Another signature of the same entry.
int denial_journal_sign(struct journal *journal, const struct denial *entry, struct error *error);
// All of them; NULL where there is none.
int denial_journal_load(struct journal *journal, const char *domain, struct denials **ret,
			struct error *error);
