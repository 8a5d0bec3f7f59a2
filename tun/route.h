// SPDX-License-Identifier: Apache-2.0
// Routes: prefix -> session, longest match (RFC 4632, 5.1). One table for the workers, in which the control thread changes what a
// session brings or takes away, and nothing else: what that costs does not depend on how many others there are.
#pragma once

#include <stddef.h>

#include "base/addr.h"
#include "base/cleanup.h"

struct routes;
struct session;

struct routes *routes_new(void); // NULL: out of memory
// No reader may be left; the sessions of those that are left forget them. Takes NULL, returns NULL.
struct routes *routes_free(struct routes *routes);
DEFINE_CLEANUP(struct routes *, routes_free);

// Control thread. The owner of a prefix already there stays: -EEXIST. `session` is borrowed until it is removed.
int routes_add(struct routes *routes, const struct prefix *prefixes, unsigned count,
	       struct session *session);
// Removes all routes of the session but those in `keep` (may be NULL), and waits for the readers.
void routes_remove(struct routes *routes, struct session *session, const struct prefix *keep,
		   unsigned keep_count);
// What one session has: prefixes, and how it stands to other sessions with the same ones.
struct route_list {
	const struct prefix *prefixes;
	unsigned count;
	unsigned metric; // the lowest owns the prefix; when its session ends, the next does
};
// From now on exactly this is the session's. What it had before and has no more goes last, when all readers see what has come. -EEXIST:
// another session has one of these prefixes with the same metric; -ENOMEM. Then nothing has changed.
int routes_set(struct routes *routes, struct session *session, const struct route_list *lists,
	       unsigned list_count);
// The owner of exactly this prefix; NULL.
struct session *routes_owner(const struct routes *routes, const struct prefix *prefix);
// From now on these, and no others, are kept for their owners, whether they have sessions or not: where no session has the prefix or a
// longer one, a shorter one does not lead into a link either. Copies them. -ENOMEM: nothing has changed.
int routes_keep(struct routes *routes, const struct prefix *prefixes, size_t count);
size_t routes_count(const struct routes *routes);
// In no order; those too that another session owns meanwhile. False past the end. When one is removed, another one gets its position.
bool routes_at(const struct routes *routes, size_t position, struct prefix *ret,
	       struct session **ret_session);

// Workers, under RCU. NULL: no route.
struct session *route_lookup(const struct routes *routes, const struct addr *addr);
