// SPDX-License-Identifier: Apache-2.0
// The CAs of the refusal matrix: good ones, and such as must lead nowhere.
#pragma once

#include "unit/pki_fixture.h"

#define STAIRS 20

// The verifier trusts `root` for corp.example and `partner` for partner.example. Of corp.example it knows who is revoked: an
// identity and a serial number by the CA's own list of denials, one more serial number by a revocation list of `issuing`. It trusts
// `root` also for late.example, whose list was never read, and for old.example, whose list is too old.
#define WORLD_LOST	    "spiffe://corp.example/laptop/lost"
#define WORLD_DENIED_SERIAL "\x61\x61\x61\x61"
#define WORLD_LISTED_SERIAL "\x62\x62\x62\x62"

struct world {
	struct fixture *root;
	struct fixture *issuing; // below root: path length 0, permitted corp.example
	// As `issuing`, but:
	struct fixture *expired;	// 2 days ago
	struct fixture *future;		// valid in 2 days
	struct fixture *narrow;		// may sign for dev.corp.example only
	struct fixture *excluding;	// may sign for all but corp.example
	struct fixture *weak;		// RSA of 1024 bits
	struct fixture *odd;		// on the curve secp256k1
	struct fixture *unnamed;	// a key with explicit curve parameters
	struct fixture *sha1;		// signed with SHA-1
	struct fixture *mute;		// without keyCertSign
	struct fixture *no_ca;		// CA:FALSE, but with keyCertSign
	struct fixture *strict;		// demands a certificate policy that nobody here has
	struct fixture *riddle;		// a critical extension that nobody knows
	struct fixture *altered;	// its signature was changed
	struct fixture *fat[3];		// more than 16 kB, each below the one before
	struct fixture *withdrawn;	// on a revocation list of the root
	struct fixture *below;		// a CA below `issuing`, against its path length
	struct fixture *laptop;		// a good leaf below `issuing`, that signs others
	struct fixture *stairs[STAIRS]; // each below the one before, the first below root
	struct fixture *loop[2];	// each signed by the other's key
	struct fixture *loop_seed;
	struct fixture *
		namesake; // another CA of the issuing one's name, below another root of that root's name
	struct fixture *namesake_root;
	struct fixture *partner;
	struct fixture *stranger; // no one trusts it
	struct trust *trust;
	// As it may have been once: every domain, also other.example, had all of root, issuing, partner and stranger, and
	// nobody was revoked.
	struct trust *lenient;
};

struct world *world_new(void);
struct world *world_free(struct world *world);
