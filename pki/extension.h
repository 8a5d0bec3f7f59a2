// SPDX-License-Identifier: Apache-2.0
// One extension of a certificate, read strictly (RFC 5280, 4.2).
#pragma once

#include <stdbool.h>
#include <openssl/x509.h>

struct error;

// The one extension of a kind, decoded into a new object of the type that belongs to `nid`. 0 with NULL when there is none.
// -EINVAL with what follows "certificate ": "has the extension NAME twice", "has an unreadable NAME".
int extension_read(const X509 *certificate, int nid, const char *name, void **ret,
		   bool *ret_critical, struct error *error);
