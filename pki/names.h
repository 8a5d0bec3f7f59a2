// SPDX-License-Identifier: Apache-2.0
// The subject alternative name of a certificate, read strictly (RFC 5280, 4.2.1.6). No other place in a certificate names
// anybody.
#pragma once

#include <openssl/x509v3.h>

#include "base/cleanup.h"

struct error;

#define NAMES_MAX 64 // in one certificate

DEFINE_CLEANUP(GENERAL_NAMES *, GENERAL_NAMES_free);

// Returns new names, as they stand in the certificate. -EINVAL with what follows "certificate ": none, too many, not DER.
int names_read(const X509 *certificate, GENERAL_NAMES **ret, struct error *error);
// The one URI among them, borrowed; NULL where there is none. -EINVAL as above: several.
int names_uri(const GENERAL_NAMES *names, const ASN1_STRING **ret, struct error *error);
// The sentence for a certificate that has none, where one is needed. -EINVAL.
int names_no_uri(struct error *error);
