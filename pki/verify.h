// SPDX-License-Identifier: Apache-2.0
// The one judgement over a peer's certificate: strict identity, store of its trust domain, path (RFC 5280, 6.1), leaf
// rules, lifetime, revocation. Handshakes and live sessions are judged by the same code.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <openssl/x509.h>

#include "base/cleanup.h"
#include "pki/certificate.h"

struct error;
struct staple;
struct trust;

// What the peer was in the handshake; its certificate must be good for that.
enum verify_role { VERIFY_PEER_IS_CLIENT, VERIFY_PEER_IS_SERVER };

// The outcome: an immutable, counted object.
struct verdict;

// Judges `leaf` with the certificates that came along (`untrusted`, may be NULL), at wall-clock time `now`.
// 0 and a new verdict, or -EACCES with a sentence such as
// "certificate of spiffe://corp.example/laptop/alice expired 3 days ago". `ret_x509` (may be NULL) gets the X509_V_ERR_
// code that tells a TLS peer best (RFC 8446, 6.2).
int verify_chain(const struct trust *trust, X509 *leaf, STACK_OF(X509) * untrusted,
		 enum verify_role role, time_t now, struct verdict **ret, int *ret_x509,
		 struct error *error);
// What a peer sent beside its leaf, as OpenSSL (which counts the leaf among it) holds it: a new stack that borrows what is in
// it. NULL: out of memory.
STACK_OF(X509) * verify_above(X509_STORE_CTX *store);
// The same judgement over the chain of an earlier verdict, against the trust of today. Returns a new verdict; or as above, or
// -EKEYREVOKED by what verify_staple() found.
int verify_again(const struct trust *trust, const struct verdict *verdict, time_t now,
		 struct verdict **ret, struct error *error);

// The same verdict with what its holder says of its certificate: `size` bytes of an OCSP answer, or NULL and 0 where it says
// nothing. One that cannot be believed counts as none. It is kept for verify_again(). Returns a new verdict, or -EKEYREVOKED, or
// -EACCES: without a good one although its trust domain requires it.
int verify_staple(const struct trust *trust, const struct verdict *verdict, const uint8_t *der,
		  size_t size, time_t now, struct verdict **ret, struct error *error);

// Only whether anything of it has been withdrawn since: a few look-ups, for all sessions at each change. 0 or -EACCES.
int verdict_revoked(const struct verdict *verdict, const struct trust *trust, time_t now,
		    struct error *error);

// Whether both are of one certificate. `other` may be NULL.
bool verdict_same_leaf(const struct verdict *verdict, const struct verdict *other);
struct verdict *verdict_get(struct verdict *verdict);
struct verdict *verdict_put(struct verdict *verdict); // takes NULL, returns NULL
DEFINE_CLEANUP(struct verdict *, verdict_put);
X509 *verdict_leaf(const struct verdict *verdict); // borrowed
const char *verdict_identity(const struct verdict *verdict);
const char *verdict_serial(const struct verdict *verdict); // hexadecimal
const uint8_t *verdict_spki_hash(const struct verdict *verdict);
time_t verdict_not_after(
	const struct verdict *verdict); // the earliest of the verified chain, anchor included
time_t verdict_leaf_not_after(const struct verdict *verdict);
X509 *verdict_issuer_certificate(const struct verdict *verdict); // borrowed; of the verified chain
const struct staple *
verdict_staple(const struct verdict *verdict); // borrowed; none before verify_staple()
STACK_OF(X509) * verdict_above(const struct verdict *verdict); // what came with the leaf; borrowed
