// SPDX-License-Identifier: Apache-2.0
// The status of one certificate as its CA's OCSP responder signed it (RFC 6960), carried by the certificate's own holder. No
// responder is ever asked about a peer: a peer brings its answer along.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <openssl/x509.h>

struct error;

#define STAPLE_MAX 6144u // bytes of DER

enum staple_state {
	STAPLE_NONE, // nothing was said, or nothing that can be believed
	STAPLE_GOOD,
	STAPLE_REVOKED,
	STAPLE_UNKNOWN, // the responder does not know the certificate
};

// What an answer says, once its signature was found good.
struct staple {
	enum staple_state state;
	time_t this_update, next_update; // it holds in between
	time_t revoked_at;		 // 0: not revoked
	const char *reason;		 // of the revocation; a static text
};

const char *staple_state_name(enum staple_state state); // "none", "good", "revoked", "unknown"

// Reads an answer about `leaf`, whose issuer in the verified chain is `issuer`, at wall-clock time `now`. It must be signed with
// SHA-2 or Ed25519 by that issuer, or by one whom the issuer has given id-kp-OCSPSigning, and say when the next one comes. One
// whose time is over is read all the same. -EINVAL with what follows "OCSP answer ": "is not about this certificate" ...
int staple_read(const uint8_t *der, size_t size, X509 *leaf, X509 *issuer, time_t now,
		struct staple *ret, struct error *error);

// Whether the holder of `identity` may come in with it: never when revoked; where an answer is `required`, only with a good one
// whose time it is. -EKEYREVOKED or -EACCES with a sentence.
int staple_judge(const struct staple *staple, const char *identity, bool required, time_t now,
		 struct error *error);

// A request for the status of `leaf` in DER, without a nonce, so that responders may answer from a store. Returns a new block.
// -ENOMEM.
int staple_request(X509 *leaf, X509 *issuer, uint8_t **ret, size_t *ret_size);
