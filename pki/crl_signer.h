// SPDX-License-Identifier: Apache-2.0
// Who signed a revocation list (RFC 5280, 6.3.3, f and g): the certificate of that name whose key verifies the signature, with a
// path to the CA certificates of the trust domain and the right to sign lists.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <openssl/x509.h>

struct error;
struct trust;

// What is signed, and by whom it says to be; borrowed.
struct crl_signature {
	const X509_NAME *issuer;
	const X509_ALGOR *algorithm;
	const ASN1_BIT_STRING *value;
	const uint8_t *data;
	size_t size;
};

// Looks among the CA certificates that `trust` has for `domain`, and in `others` (may be NULL), which must have a path to
// those. Returns a new reference. -EKEYREJECTED with the reason. -ENOMEM.
int crl_signer_find(const struct crl_signature *signature, const struct trust *trust,
		    const char *domain, STACK_OF(X509) * others, time_t now, X509 **ret,
		    struct error *error);
// Only whether `signer` may sign lists for `domain` by `trust`, with `others` (may be NULL) between. As above.
int crl_signer_judge(X509 *signer, const struct trust *trust, const char *domain,
		     STACK_OF(X509) * others, time_t now, struct error *error);
