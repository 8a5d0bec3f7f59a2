// SPDX-License-Identifier: Apache-2.0
// One entry of a list of denials: a certificate, a key or an identity that the CA of a trust domain withdrew, or gave back. As
// text it is one line:
//   NUMBER TIME deny serial ISSUER-KEY SERIAL UNTIL REASON
//   NUMBER TIME deny key KEY UNTIL REASON
//   NUMBER TIME deny identity SPIFFE-ID 0 REASON
//   NUMBER TIME allow key KEY
//   NUMBER TIME allow identity SPIFFE-ID
// Keys are the SHA-256 of a SubjectPublicKeyInfo. Digits are lower case. UNTIL is when the last certificate concerned has expired, 0
// when that is not known. A key may be anybody's in a chain: that of a device, or of a CA and so of all that it signed.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/cleanup.h"
#include "pki/certificate.h"
#include "pki/identity.h"

struct error;
struct denial_signer;

#define DENIAL_TEXT_MAX	     (IDENTITY_MAX + 128u) // bytes of a line
#define DENIAL_HASH_SIZE     32u
#define DENIAL_SIGNATURE_MAX 1024u // characters of base64

enum denial_kind { DENIAL_SERIAL, DENIAL_KEY, DENIAL_IDENTITY };

// RFC 5280, 5.3.1, and its codes.
enum denial_reason {
	DENIAL_UNSPECIFIED = 0,
	DENIAL_KEY_COMPROMISE = 1,
	DENIAL_CA_COMPROMISE = 2,
	DENIAL_AFFILIATION_CHANGED = 3,
	DENIAL_SUPERSEDED = 4,
	DENIAL_CESSATION_OF_OPERATION = 5,
	DENIAL_PRIVILEGE_WITHDRAWN = 9,
};
const char *denial_reason_name(enum denial_reason reason);	    // "keyCompromise" ...
int denial_reason_parse(const char *name, enum denial_reason *ret); // -EINVAL

// What is denied, as bytes that can be compared: the kind, then key and serial, key, or identity.
#define DENIAL_NAME_MAX (1u + IDENTITY_MAX)
size_t
denial_name_serial(const uint8_t issuer_key[SPKI_HASH_SIZE], const uint8_t *serial, size_t size,
		   uint8_t ret[DENIAL_NAME_MAX]); // without leading zeros, at most SERIAL_MAX bytes
size_t denial_name_key(const uint8_t key[SPKI_HASH_SIZE], uint8_t ret[DENIAL_NAME_MAX]);
size_t denial_name_identity(const char *identity, uint8_t ret[DENIAL_NAME_MAX]); // 0: too long

// Immutable once it is in a list, and counted.
struct denial {
	atomic_uint references;
	uint64_t number;
	time_t time;
	bool allow; // lifts what an earlier entry denied
	enum denial_kind kind;
	enum denial_reason reason;
	time_t until;
	const uint8_t *name;
	size_t name_size;
	const char *text; // without a NUL at its end
	size_t text_size;
	uint8_t hash[DENIAL_HASH_SIZE]; // of the list up to here
	char *signature;		// base64, over the list up to here; NULL: none
	struct denial_signer *signer;	// whose; NULL: none
};

// One line, without its newline. Returns a new entry without hash and signature. -EINVAL, -ENOMEM.
int denial_parse(const char *text, size_t size, struct denial **ret, struct error *error);
struct denial *denial_get(struct denial *denial);
struct denial *denial_put(struct denial *denial); // takes NULL, returns NULL
DEFINE_CLEANUP(struct denial *, denial_put);

// As they come, one after another, to be made a list.
struct denial_entries {
	struct denial **list;
	size_t count, capacity;
};
int denial_entries_push(struct denial_entries *entries,
			struct denial *entry); // takes it on success; -ENOMEM
void denial_entries_done(struct denial_entries *entries);

// Who is meant, for people: "certificate 1f3a...", "key 77ab...", "spiffe://...", cut to fit. Returns `text`.
#define DENIAL_SUBJECT_MAX (IDENTITY_SHOWN_MAX + 1)
const char *denial_subject(const struct denial *denial, char text[DENIAL_SUBJECT_MAX]);
