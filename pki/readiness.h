// SPDX-License-Identifier: Apache-2.0
// The meter: which nodes of a CA trust a certificate already, which do not yet, which were never heard. Known is who holds a
// certificate of the CA that has not expired; what a node trusts, it says itself, to the gateways that it meets (PROTOCOL.md,
// `anchors`).
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/cleanup.h"
#include "pki/rotation.h"

struct ca;
struct error;
struct readiness;

enum readiness_state {
	READINESS_READY,
	READINESS_LACKING, // it said what it trusts, and this is not among it
	READINESS_UNSEEN,  // nobody heard it say anything
};

struct readiness_node {
	const char *identity;
	enum readiness_state state;
	time_t seen;	  // when it said so; 0: never
	time_t not_after; // of its certificate that lasts longest
};

struct readiness *readiness_new(void); // NULL: out of memory
struct readiness *readiness_free(struct readiness *readiness);
DEFINE_CLEANUP(struct readiness *, readiness_free);

// What a gateway heard `identity` say at `seen`: `anchors` are SHA-256 hashes as hexadecimal digits; NULL: it does not say. Of
// several words about one node the latest counts. -ENOMEM.
int readiness_add(struct readiness *readiness, const char *identity, const char *const *anchors,
		  size_t count, time_t seen);
// A certificate that is revoked counts for nothing. Calls `each` for every known node,
// by name, as it stands towards the certificate `anchor`. A non-zero return stops the walk and is returned. -ENOMEM, -EIO.
int readiness_judge(struct readiness *readiness, struct ca *ca, const char *anchor, time_t now,
		    int (*each)(const struct readiness_node *node, void *data), void *data,
		    struct error *error);
