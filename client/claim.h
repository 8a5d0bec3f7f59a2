// SPDX-License-Identifier: Apache-2.0
// What belongs to this node's own gateway and to its peers. A gateway that this node dials may push a route around it, which leads to
// what is nobody's here; not one within it, which would draw to that gateway what is somebody's.
#pragma once

#include <stddef.h>

#include "base/addr.h"
#include "base/cleanup.h"

struct claims;

struct claims *claims_new(void);		   // nothing is claimed; NULL: out of memory
struct claims *claims_free(struct claims *claims); // takes NULL, returns NULL
DEFINE_CLEANUP(struct claims *, claims_free);

struct claim_list {
	const struct prefix *peers; // pools, addresses and networks of peers
	size_t peer_count;
	const struct prefix *behind; // networks behind this node
	size_t behind_count;
};

// From now on exactly these. Copies them. A default route, which says where to send, not what is whose, is none. -ENOMEM: as before.
int claims_set(struct claims *claims, const struct claim_list *list);
// The longest one that holds all of the prefix, or is it, borrowed until the next claims_set(); NULL: none.
const struct prefix *claims_around(const struct claims *claims, const struct prefix *prefix);
// The same among those of peers alone.
const struct prefix *claims_of_peers(const struct claims *claims, const struct prefix *prefix);
