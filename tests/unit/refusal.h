// SPDX-License-Identifier: Apache-2.0
// The refusal matrix: what a peer may present and must not be admitted with, each with the exact reason. The verifier's
// test and the handshake's test walk the same table.
#pragma once

#include <stdint.h>

#include "unit/pki_fixture.h"

#define REFUSAL_ALICE "spiffe://corp.example/laptop/alice"

// The CAs of the matrix. The verifier trusts `root` for corp.example and `partner` for partner.example.
struct world {
	struct fixture *root;
	struct fixture *issuing;    // below root: path length 0, permitted corp.example
	struct fixture *expired;    // as `issuing`, expired 2 days ago
	struct fixture *future;	    // as `issuing`, valid in 2 days
	struct fixture *narrow;	    // may sign for dev.corp.example only
	struct fixture *weak;	    // as `issuing`, RSA of 1024 bits
	struct fixture *odd;	    // as `issuing`, on the curve secp256k1
	struct fixture *unnamed;    // as `issuing`, a key with explicit curve parameters
	struct fixture *below;	    // a CA below `issuing`, against its path length
	struct fixture *stairs[20]; // each below the one before, the first below root
	struct fixture *partner;
	struct fixture *stranger; // no one trusts it
	struct trust *trust;
};

struct world *world_new(void);
struct world *world_free(struct world *world);

struct refusal {
	const char *name;
	struct fixture_options leaf;
	const struct fixture *(*issuer)(const struct world *world); // NULL: issuing
	const char *what;					    // error.what of the verifier
	const char *tls_what; // of the handshake, where that comes first; NULL: the same
	int alert;	      // RFC 8446, 6.2: what the peer is told
	bool no_handshake;    // TLS 1.3 has no signature scheme with which it could be presented
};

extern const struct refusal refusals[];
extern const size_t refusal_count;

// The leaf of a line of the table.
struct fixture *refusal_leaf(const struct refusal *refusal, const struct world *world);
