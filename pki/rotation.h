// SPDX-License-Identifier: Apache-2.0
// What the journal of a CA knows of changes of its issuers: each step that was taken, by whom, from which certificate to which. It
// is written before the files follow (pki/ca_rotate.h), so that a step that was interrupted can be told from one never begun.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <openssl/x509.h>

struct error;
struct journal;

enum rotation_step {
	ROTATION_NONE,	    // never begun
	ROTATION_PREPARED,  // nodes are told of the new root, which signs nothing yet
	ROTATION_ACTIVATED, // an issuer below the new root signs; the old root is still trusted
	ROTATION_FINISHED,  // the old root is no longer trusted
	ROTATION_ABORTED,   // the new root is no longer trusted
};
const char *rotation_step_name(enum rotation_step step); // "prepared" ...

#define ROTATION_HASH_TEXT (2 * 32 + 1) // SHA-256 as hexadecimal digits
#define ROTATION_WHO_MAX   64

// The last step that was taken with the root.
struct rotation {
	enum rotation_step step;
	int64_t id; // of the row
	time_t at;
	char who[ROTATION_WHO_MAX];
	char old[ROTATION_HASH_TEXT], new[ROTATION_HASH_TEXT]; // of the roots
};

int rotation_read(struct journal *journal, struct rotation *ret, struct error *error);
// `stranded`: whom the operator knew it would cut off, separated by spaces; NULL: nobody.
int rotation_add(struct journal *journal, const struct rotation *rotation, const char *stranded,
		 struct error *error);

// The last change of what signs leaves. Empty texts: it never changed.
struct rotation_issuer {
	char who[ROTATION_WHO_MAX];
	time_t at;
	char old[ROTATION_HASH_TEXT], new[ROTATION_HASH_TEXT];
};

int rotation_read_issuer(struct journal *journal, struct rotation_issuer *ret, struct error *error);
// `certificate` is the new one: its key says what it signed.
int rotation_add_issuer(struct journal *journal, const struct rotation_issuer *issuer,
			const X509 *certificate, struct error *error);
// Whether `leaf` was signed by an issuer that came into use after the row `id`.
bool rotation_signed_since(struct journal *journal, int64_t id, const X509 *leaf);

// SHA-256 of a certificate's DER. Returns `text`.
const char *rotation_hash(const X509 *certificate, char text[ROTATION_HASH_TEXT]);
