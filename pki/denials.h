// SPDX-License-Identifier: Apache-2.0
// What the CA of one trust domain withdrew: a list of entries 1..N that only grows. Each entry is hashed onto those before it, and
// the CA signs the hash, so that who has a beginning of the list can take what follows with one look at one signature, from
// anybody:
//   H(0) = SHA-256("mutun denials 1\0" || domain)
//   H(n) = SHA-256(H(n-1) || text of entry n)
//   the signature of entry n is over "mutun denial\0" || domain || "\0" || n as 8 bytes, big-endian || H(n)
// An immutable, counted object, safe to share between threads. A new list shares what it has in common with the one it was made
// from: adding an entry costs the same at any length.
#pragma once

#include <stdint.h>
#include <time.h>

#include "base/cleanup.h"
#include "pki/denial.h"

struct buffer;
struct denials;
struct error;
struct revocation_chain;
struct trust;

// Adds `count` entries (references are taken) that follow each other without a gap. The last one is signed; of the others, signatures
// are believed unseen. `old` NULL: there is no list yet. They may begin with some that `old` has already. The last entry once more,
// signed by a CA certificate that lives longer, takes the place of the one that is there. `trust` NULL: whoever signed it may, for
// what this node kept itself.
// Returns a new list. Else nothing of them is believed:
//   -ESTALE       `old` has exactly these
//   -ERANGE       `old` has all of them, and more
//   -ENOENT       entries are missing between `old` and these
//   -EKEYREJECTED the signature does not fit what `old` holds: another list of the same CA, or a forgery
//   -ENOTUNIQ     it is another list of the same CA
//   -EACCES       the signer may not sign for the domain by `trust`, or is itself withdrawn
//   -EINVAL, -ENOMEM
// Where two lists go apart, `old` stays, except that all of a list from 1 on is taken which withdraws the key that signed `old`.
int denials_add(struct denials *old, const char *domain, struct denial *const *entries,
		size_t count, const struct trust *trust, struct denials **ret, struct error *error);
// The same without any look at signatures: for the CA itself. -EINVAL, -ENOMEM.
int denials_append(struct denials *old, const char *domain, struct denial *const *entries,
		   size_t count, struct denials **ret, struct error *error);
struct denials *denials_get(struct denials *denials);
struct denials *denials_put(struct denials *denials); // takes NULL, returns NULL
DEFINE_CLEANUP(struct denials *, denials_put);

const char *denials_domain(const struct denials *denials);
uint64_t denials_number(const struct denials *denials); // of the last entry; 0 for NULL
// Borrowed; NULL when there is no such entry.
const struct denial *denials_at(const struct denials *denials, uint64_t number);
const struct denial *denials_last(const struct denials *denials);
// The hash up to an entry; of no entry at all for `number` 0. `denials` may be NULL then. -ENOENT.
int denials_hash(const struct denials *denials, const char *domain, uint64_t number,
		 uint8_t ret[DENIAL_HASH_SIZE]);
// The hash after `before`.
int denials_hash_next(const uint8_t before[DENIAL_HASH_SIZE], const char *text, size_t size,
		      uint8_t ret[DENIAL_HASH_SIZE]);

// The entry that denies this name (denial.h), borrowed; NULL: it is not denied.
const struct denial *denials_find(const struct denials *denials, const uint8_t *name, size_t size);
// The entry that denies the identity (NULL: of no interest), or a key or certificate of the chain; NULL: none.
const struct denial *denials_judge(const struct denials *denials, const char *identity,
				   const struct revocation_chain *chain);

// The entries after `from` that fit `max` bytes of text, each with a newline, up to one that is signed (borrowed in `ret_last`, whose
// number tells how far). At least one where there are any. -ENOENT: there are none. -ENOBUFS, -ENOMEM.
int denials_text(const struct denials *denials, uint64_t from, size_t max, struct buffer *ret,
		 const struct denial **ret_last);
