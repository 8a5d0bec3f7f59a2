// SPDX-License-Identifier: Apache-2.0
// The files of this node's certificate and key through a renewal. The pair from before stays beside the new one, in
// CERTIFICATE.previous, until a peer has accepted the new one: wherever a change is interrupted, a whole pair is there.
#pragma once

#include <stdbool.h>
#include <time.h>

#include "base/cleanup.h"

struct credential;
struct error;
struct obtained;

// Where a pair lies: chain in `certificate`, key in `key`, or both in one file that is named twice. Borrowed.
struct probation {
	const char *certificate, *key;
};

// Puts a new pair into the files. `current`, the one in use (NULL: none), is kept before, unless one that was accepted and is good at `now` is
// kept already. -errno of writing: the files hold a good pair, or the kept one is beside them.
int probation_begin(const struct probation *probation, const struct credential *current,
		    const struct obtained *obtained, time_t now, struct error *error);
// The pair that is kept. Returns a new reference. Errors as credential_load(); -ENOENT: none is.
int probation_previous(const struct probation *probation, time_t now, struct credential **ret,
		       struct error *error);
// Forgets it: the new one was accepted, or it has expired.
int probation_end(const struct probation *probation, struct error *error);
// Puts it back into the files, where it must be good at `now`, and forgets it.
int probation_undo(const struct probation *probation, time_t now, struct error *error);
// At start, before the files are read: where they do not hold a pair and the kept one is good, that one is put back (1, with the
// fault of the files in `error`). Removes what an interrupted write left. 0: nothing to do, or nothing that helps.
int probation_recover(const struct probation *probation, time_t now, struct error *error);
