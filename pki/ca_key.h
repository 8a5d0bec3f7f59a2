// SPDX-License-Identifier: Apache-2.0
// The key that a CA signs with: in a file of its directory, encrypted or not, or where a URI says.
#pragma once

#include <stdbool.h>
#include <openssl/x509.h>

struct error;
struct passphrase;

// The key that belongs to `certificate`. While one issuer takes the place of another, the directory holds both keys: the one that
// fits is meant. `uris`: keys outside are asked for, too. Returns a new key.
//   -ENOKEY  a passphrase is needed, or the key is outside      -EKEYREJECTED  wrong passphrase, or no key that fits
//   others: reading
int ca_key_load(const char *directory, const X509 *certificate, const struct passphrase *passphrase,
		bool uris, EVP_PKEY **ret, struct error *error);
// The root's, which only rare acts need: it may well be somewhere else. As above.
int ca_key_load_root(const char *directory, const struct passphrase *passphrase, EVP_PKEY **ret,
		     struct error *error);
