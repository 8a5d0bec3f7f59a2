// SPDX-License-Identifier: Apache-2.0
// Private keys that are named by a URI and may never leave where they are: "pkcs11:token=ca;object=issuing" (RFC 7512) by OpenSSL's
// provider "pkcs11", "file:/path" (RFC 8089), and whatever else OpenSSL's stores know.
#pragma once

#include <stdbool.h>
#include <openssl/evp.h>

struct error;
struct passphrase;

// Whether it is the URI of a key rather than a path.
bool key_uri_is(const char *place);
// Names the place (URI or path) in an error, without the PIN that may stand in it (RFC 7512, 2.4). Returns as error_where().
int key_uri_where(const char *place, struct error *error);
// `passphrase` (may be NULL) is the PIN, too. Returns a new key.
//   -ENOKEY  a passphrase or PIN is asked for and there is none      -EINVAL  no such place, or no key there
int key_uri_open(const char *uri, const struct passphrase *passphrase, EVP_PKEY **ret,
		 struct error *error);
