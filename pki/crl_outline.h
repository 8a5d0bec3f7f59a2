// SPDX-License-Identifier: Apache-2.0
// The parts of a revocation list in DER (RFC 5280, 5.1), with the entries left out of what OpenSSL is to read.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <openssl/x509.h>

struct error;

struct crl_outline {
	const uint8_t *data; // tbsCertList, what is signed; borrowed
	size_t size;
	const uint8_t *entries; // content of revokedCertificates, borrowed; NULL: there is none
	size_t entries_size;
	X509_CRL *rest; // all but the entries; its signature is that of the whole list
};

// Borrows `data` until crl_outline_done(). -EINVAL, -ENOMEM.
int crl_outline_read(OSSL_LIB_CTX *library, const uint8_t *data, size_t size,
		     struct crl_outline *ret, struct error *error);
void crl_outline_done(struct crl_outline *outline);
