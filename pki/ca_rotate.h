// SPDX-License-Identifier: Apache-2.0
// A new issuer for a CA: what signs leaves is replaced every few weeks, the root in four steps over as long as it takes until
// every node trusts the new one. Each step can be done again after it was interrupted anywhere, and then goes on.
//   prepare   a new root beside the old one, which signs it as well; trust.crt has both: every node must get that
//   activate  leaves come from an issuer below the new root. They are sent with the new root as the old one signed it: who knows
//             only the old root still believes them
//   finish    trust.crt has the new root alone
//   abort     instead of activate: trust.crt has the old root alone
#pragma once

#include <stdbool.h>

#include "pki/profile.h"
#include "pki/rotation.h"

struct ca;
struct error;
struct readiness;

struct ca_rotate_options {
	const char *root_key_path;   // of the root that signs; NULL: it is in the directory
	const char *passphrase_path; // opens and encrypts, as for ca_unlock()
	bool has_key; // new keys are of this kind; else of the kind that the one before has
	enum profile_key key;
	const char *issuing_uri; // the new issuing key is there; NULL: it is made
	const char *who;	 // does it, for the journal
	// Whom activate and finish would strand: what is known of nodes (pki/readiness.h), and who is told of each of them (may be
	// NULL). `force`: it is done all the same, and the journal has their names.
	struct readiness *readiness;
	void (*stranded)(const char *identity, const char *why, void *data);
	void *data;
	bool force;
};

// All: on the CA in `directory`, alone (-EBUSY: somebody else is at it). -ENOENT, -EKEYREJECTED: the root's key is not there, or is
// another.
int ca_rotate_issuing(const char *directory, const struct ca_rotate_options *options,
		      struct error *error);
// -EALREADY: another roll-over is past this step.
int ca_rotate_prepare(const char *directory, const struct ca_rotate_options *options,
		      struct error *error);
// -EPERM: nothing is prepared; -ENOTEMPTY: nodes would be stranded.
int ca_rotate_activate(const char *directory, const struct ca_rotate_options *options,
		       struct error *error);
int ca_rotate_finish(const char *directory, const struct ca_rotate_options *options,
		     struct error *error);
int ca_rotate_abort(const char *directory, const struct ca_rotate_options *options,
		    struct error *error);
