// SPDX-License-Identifier: Apache-2.0
// A key and the request that is signed with it, in a file until the answer has been put away: who is killed in between asks the
// same again, and gets the same answer where the CA gives it twice.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <openssl/evp.h>

struct error;

struct pending {
	EVP_PKEY *key;
	uint8_t *request; // DER
	size_t size;
};

// What is in the file `path` where it was made for the same `purpose` (one line of text) and `identity` (NULL: none is asked
// for); else a new pair, which is written there first, mode 0600. -errno of writing.
int pending_begin(const char *path, const char *purpose, const char *identity, struct pending *ret,
		  struct error *error);
void pending_done(struct pending *pending); // the file stays
