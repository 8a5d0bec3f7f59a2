// SPDX-License-Identifier: Apache-2.0
// What this node knows of what was withdrawn, from all that tells, and that it counts: whenever it changes, the credentials get it,
// and everybody is judged again.
#pragma once

#include <systemd/sd-event.h>

#include "base/cleanup.h"

struct config;
struct credentials;
struct denial_store;
struct error;
struct lists;
struct herald;
struct revocation_role;

struct revocation_role_tools { // borrowed until revocation_role_free()
	sd_event *event;
	struct credentials *credentials;
	// What is revoked has changed, and the credentials know. Several changes that come together count once.
	void (*judge)(void *data);
	void *data;
};

// Reads what is kept in the state directory of `config`, and its files; the credentials know all of it when this returns. `judge` is
// not called for that.
int revocation_role_new(const struct revocation_role_tools *tools, const struct config *config,
			struct revocation_role **ret, struct error *error);
struct revocation_role *
revocation_role_free(struct revocation_role *role); // takes NULL, returns NULL
DEFINE_CLEANUP(struct revocation_role *, revocation_role_free);

// Makes the sources of another configuration ready. What is revoked stays so: nothing counts less before it is adopted.
int revocation_role_prepare(struct revocation_role *role, const struct config *config,
			    struct error *error);
// The configuration that is prepared holds.
void revocation_role_adopt(struct revocation_role *role, const struct config *config);
// The credentials have other CA certificates: what was signed by others counts no more.
void revocation_role_trust_changed(struct revocation_role *role);
const struct lists *revocation_role_lists(const struct revocation_role *role); // borrowed
// Passes denials on between peers. Borrowed; nobody uses it after revocation_role_free().
struct herald *revocation_role_herald(const struct revocation_role *role);
struct denial_store *revocation_role_denials(const struct revocation_role *role); // borrowed
// Of the files of denials; code 0: all is well. Borrowed.
const struct error *revocation_role_problem(const struct revocation_role *role);
