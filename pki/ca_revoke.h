// SPDX-License-Identifier: Apache-2.0
// What a CA withdraws: certificates, keys and identities. Each change is one more entry of its list of denials (pki/denials.h), in
// the journal first, then in DIR/denials, from where it reaches every node.
#pragma once

#include "pki/denial.h"

struct ca;
struct error;

// One of the first three is not NULL.
struct ca_subject {
	const char *serial; // of a certificate in the journal, hexadecimal
	const char *
		key; // SHA-256 of a SubjectPublicKeyInfo, hexadecimal: a device's, or a CA's and so all that it signed
	const char *identity;	     // SPIFFE ID in the trust domain of the CA
	const char *passphrase_path; // of the key that signs, as for ca_unlock()
};

// What is denied already stays so. A certificate of an earlier issuing CA is denied by its key. The issuing key signs, or, where it
// is denied itself, the root key. Returns the entry, new. -EINVAL; -ENOENT: no such certificate; -EKEYREVOKED: nobody may sign.
int ca_revoke(struct ca *ca, const struct ca_subject *subject, enum denial_reason reason,
	      struct denial **ret, struct error *error);
// Lifts it, for a key or an identity. -ENOENT: it is not denied.
int ca_reinstate(struct ca *ca, const struct ca_subject *subject, struct denial **ret,
		 struct error *error);
// Writes DIR/denials, signed by who may sign now. Nothing, where nothing was ever denied.
int ca_publish(struct ca *ca, const char *passphrase_path, struct error *error);
