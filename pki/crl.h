// SPDX-License-Identifier: Apache-2.0
// A certificate revocation list (RFC 5280, 5): checked once as a whole, and then an immutable, counted table of serial numbers.
//
// What is taken: a complete list of version 1 or 2 for all that its issuer signs, in DER, or one in PEM, with CA certificates beside
// it or not. Refused: delta and indirect lists, lists for some kinds of certificates or some reasons only, extensions that are
// critical and not known, any critical extension of an entry, a list without a time of its next update. A list that names the place
// where it lies (distributionPoint alone, as some CAs write into every list) is taken as complete.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <openssl/x509.h>

#include "base/cleanup.h"
#include "pki/certificate.h"
#include "pki/crl_table.h"

struct crl;
struct error;
struct trust;

#define CRL_FILE_MAX  (64u << 20) // bytes
#define CRL_AHEAD_S   300	  // that the clock of an issuer may be ahead of ours
#define CRL_NAME_TEXT 256

// For whom a list is to speak. Borrowed for a call.
struct crl_scope {
	const struct trust *trust;
	const char *domain;
	STACK_OF(X509) *
		issuers; // more certificates that may have signed, or stand above who did; may be NULL
};

struct crl_facts {
	char issuer[CRL_NAME_TEXT];   // RFC 2253
	char number[SERIAL_TEXT_MAX]; // crlNumber, hexadecimal; empty: none
	time_t this_update, next_update;
	struct crl_counts counts;
	size_t memory; // bytes
};

// Judges what a file holds, at time `now`. That its next update is over does not matter here: it still tells who was revoked.
// Takes long, and twice the memory of the file, where the file is large: run it on a thread of its own. Returns a new reference.
//   -EINVAL        it is no such list, or one that is not taken
//   -EKEYREJECTED  who signed it is not known or may not sign lists
//   -EAGAIN        it is from a time to come
//   -EFBIG, -ENOMEM
int crl_read(const void *data, size_t size, const struct crl_scope *scope, time_t now,
	     struct crl **ret, struct error *error);
// Whether who signed it may still sign lists, by the trust of today. Short. -EKEYREJECTED.
int crl_judge_again(const struct crl *crl, const struct crl_scope *scope, time_t now,
		    struct error *error);
struct crl *crl_get(struct crl *crl);
struct crl *crl_put(struct crl *crl); // takes NULL, returns NULL
DEFINE_CLEANUP(struct crl *, crl_put);

const struct crl_facts *crl_facts(const struct crl *crl);
// Whether it is a list of this CA, by name. -EKEYREJECTED.
int crl_check_issuer(const struct crl *crl, const X509 *issuer, struct error *error);
// Whether `crl` may take the place of `old` (may be NULL): not a list of another CA, which would be silent about those of this one, and
// no earlier one, by number or time. -ESTALE with the reason.
int crl_check_newer(const struct crl *crl, const struct crl *old, struct error *error);
// Whether it is the same list: issuer, number and time.
bool crl_same(const struct crl *a, const struct crl *b);

// Whether it speaks for what this issuer signed: by the key, and by the name (X509_NAME_hash_ex()), as a CA with a new key goes on
// to list what it signed with the old one.
bool crl_covers(const struct crl *crl, const uint8_t issuer_key[SPKI_HASH_SIZE],
		uint32_t issuer_name);
// As crl_table_find(). Any thread.
bool crl_find(const struct crl *crl, const uint8_t *serial, size_t size, bool negative,
	      struct crl_entry *ret);
const char *crl_reason_name(uint8_t reason); // "key compromise", NULL: none or unknown
