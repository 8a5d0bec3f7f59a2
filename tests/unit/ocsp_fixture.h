// SPDX-License-Identifier: Apache-2.0
// OCSP answers for tests, made on the fly, as the certificates of pki_fixture.h are.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "unit/pki_fixture.h"

// Zero is a good answer for an hour from now, signed by the issuer.
struct ocsp_options {
	int status;		      // V_OCSP_CERTSTATUS_GOOD (0), _REVOKED, _UNKNOWN
	int reason;		      // of the revocation
	int64_t this_s, next_s;	      // from now; both zero: -60 and 3600
	int64_t revoked_s;	      // from now
	const struct fixture *signer; // NULL: the leaf's issuer
	const char *digest;	      // of the signature, "SHA256"
	const char *id_digest;	      // of the certificate's identifier, "SHA1"
	const struct fixture *about;  // another certificate than the leaf
	int times;		      // -1: without an end
};

// DER of an answer about `leaf`, new.
uint8_t *ocsp_answer(const struct fixture *leaf, const struct ocsp_options *options,
		     size_t *ret_size);
