// SPDX-License-Identifier: Apache-2.0
// Who this node is and whom it believes, kept current: reads the files, watches them, judges each new set as a whole, and
// swaps it in only when all of it is good. The set in use stays in use until then.
#pragma once

#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "pki/tls.h"

struct config_node;
struct credential;
struct credentials;
struct error;
struct stapler;
struct revocation;
struct trust;

// A new set is in use; `reason` is a sentence for people. On the loop's thread.
typedef void (*credentials_changed)(const char *reason, void *data);

// Loads the first set, which must be good, and begins to watch. The error says what to do.
int credentials_new(sd_event *event, const struct config_node *node, credentials_changed changed,
		    void *data, struct credentials **ret, struct error *error);
struct credentials *credentials_free(struct credentials *credentials); // takes NULL, returns NULL
DEFINE_CLEANUP(struct credentials *, credentials_free);

// Whether credentials_reload() would take other files, so that everybody is judged again and proves identity again.
bool credentials_differ(const struct credentials *credentials, const struct config_node *node);
// Other files after a reload; the set in them must be good, else nothing changes. Does not call `changed`: `ret_reason` (a
// static sentence, NULL: nothing new) tells.
int credentials_reload(struct credentials *credentials, const struct config_node *node,
		       const char **ret_reason, struct error *error);

// Look at the files now: somebody has just written them.
void credentials_look(struct credentials *credentials);
// What is revoked from now on (a reference is taken; NULL: nothing), for this set and all that follow. New contexts; `changed` is not
// called. On failure (-ENOMEM) the old state stays.
int credentials_set_revocation(struct credentials *credentials, struct revocation *revocation);

// All borrowed until the next change.
struct tls_context *credentials_context(const struct credentials *credentials, enum tls_role role);
struct credential *credentials_credential(const struct credentials *credentials);
struct trust *credentials_trust(const struct credentials *credentials);
// Why the set that lies in the files now is not in use; code 0: it is.
const struct error *credentials_problem(const struct credentials *credentials);
// Why peers do not believe the one in use any more, by what this node knows was withdrawn; code 0: they do.
const struct error *credentials_disbelieved(const struct credentials *credentials);
// What is known of the status of our certificate.
const struct stapler *credentials_stapler(const struct credentials *credentials);
