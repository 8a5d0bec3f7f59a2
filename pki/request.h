// SPDX-License-Identifier: Apache-2.0
// Certificate requests (PKCS#10, RFC 2986): what a device asks for, and the proof that it holds the key.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <openssl/evp.h>

struct error;

#define REQUEST_MAX 8192u // bytes of DER

struct request {
	EVP_PKEY *key;	// public; the request is signed with its other half
	char *identity; // the one URI of the SAN that is asked for; NULL: none
	char *dns;	// the one DNS name; NULL: none
};

// A request for `key`, signed with it. `identity` (a SPIFFE ID) and `dns` may be NULL: the CA decides. Returns new DER.
int request_make(EVP_PKEY *key, const char *identity, const char *dns, uint8_t **ret,
		 size_t *ret_size, struct error *error);
// Reads one from outside. -EINVAL with the reason: not a request, bytes after it, a kind of key that nodes do not accept, not
// signed with its own key, several names of a kind, a name that is no identity or host name. The subject is not read.
int request_read(const uint8_t *der, size_t size, struct request *ret, struct error *error);
void request_done(struct request *request);
