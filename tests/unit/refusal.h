// SPDX-License-Identifier: Apache-2.0
// The refusal matrix: what a peer may present and must not be admitted with, each with the exact reason. Handshakes in both
// roles, the verifier and its second judgement over live sessions are tested by the same table.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "unit/pki_fixture.h"
#include "unit/refusal_world.h"

#define REFUSAL_ALICE "spiffe://corp.example/laptop/alice"

struct refusal {
	const char *name;
	struct fixture_options leaf;
	const struct fixture *(*issuer)(const struct world *world); // NULL: issuing
	STACK_OF(X509) * (*sent)(const struct world *world); // beside the leaf; NULL: as issued
	int64_t once_s;	      // not 0: by the lenient trust, that long from now, it is good
	const char *what;     // error.what of the verifier
	const char *tls_what; // of the handshake, where that comes first; NULL: the same
	int alert;	      // RFC 8446, 6.2: what the peer is told
	bool no_handshake;    // TLS 1.3 has no signature scheme with which it could be presented
};

extern const struct refusal refusals[];
extern const size_t refusal_count;

// The leaf of a line of the table.
struct fixture *refusal_leaf(const struct refusal *refusal, const struct world *world);
// What comes with it: a new stack that borrows.
STACK_OF(X509) * refusal_sent(const struct refusal *refusal, const struct world *world,
			      const struct fixture *leaf);
