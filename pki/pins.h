// SPDX-License-Identifier: Apache-2.0
// Pinned keys: what an identity must prove beyond its chain. A pin is the SHA-256 of a DER SubjectPublicKeyInfo (RFC 7469, 2.4)
// and is met by any certificate of the verified chain, so that a CA can be pinned as well as a device.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "pki/certificate.h"

struct error;
struct pins;
struct revocation_chain;

#define PINS_KEYS_MIN	 2u // different ones: with a single key, its loss would lock everybody out
#define PINS_KEYS_MAX	 16u
#define PINS_TEXT_MAX	 52u // "sha256/", 44 characters, and a NUL
#define PINS_TEXT_PREFIX "sha256/"

struct pin_key {
	uint8_t hash[SPKI_HASH_SIZE];
};

struct pin {
	const char *identity; // a pattern
	const struct pin_key *keys;
	size_t count;
};

// Copies. Returns a new, immutable object. -ENOMEM.
int pins_new(const struct pin *list, size_t count, struct pins **ret);
struct pins *pins_free(struct pins *pins); // takes NULL, returns NULL
DEFINE_CLEANUP(struct pins *, pins_free);

// Whether every entry that `identity` matches has a key of this chain. `pins` may be NULL: nothing is pinned. 0, or -EACCES with
// the pin that the leaf would have.
int pins_check(const struct pins *pins, const char *identity, const struct revocation_chain *chain,
	       struct error *error);

// How many of them are different.
size_t pins_distinct(const struct pin_key *keys, size_t count);
// "sha256/BASE64", or 64 hexadecimal digits. -EINVAL.
int pins_parse(const char *text, struct pin_key *ret);
// "sha256/BASE64". Returns `text`.
const char *pins_text(const uint8_t hash[static SPKI_HASH_SIZE], char text[static PINS_TEXT_MAX]);
