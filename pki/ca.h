// SPDX-License-Identifier: Apache-2.0
// A private CA in a directory: root key and certificate, issuing intermediate with a URI name constraint, and a journal
// (SQLite) of every leaf it signed.
//   DIR/root.key DIR/root.crt       the root; its key can be moved offline, issuing does not need it
//   DIR/issuing.key DIR/issuing.crt the intermediate that signs leaves, and what is sent above it
//   DIR/trust.crt                   what nodes trust: the root
//   DIR/journal.db                  who, what, when
//   DIR/denials                     what was withdrawn (pki/denials_file.h), for gateways and other nodes
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <openssl/x509.h>

#include "base/cleanup.h"
#include "pki/profile.h"

struct ca;
struct error;
struct journal;

// Makes a new CA for `domain` (a SPIFFE trust domain) in `directory`, which must be empty or missing. P-256 keys, mode
// 0600. Root 10 years, intermediate 90 days, path length 0, critical nameConstraints permitted;URI:domain.
int ca_init(const char *directory, const char *domain, struct error *error);

struct ca_options {
	const char *domain;
	enum profile_key key; // of root and intermediate
	const char *
		passphrase_path; // both keys are encrypted with it (pki/passphrase.h); NULL: they are not
	const char *
		issuing_uri; // the intermediate's key is there, and signs there (pki/key_uri.h); NULL: it is made
};

// The same with a choice.
int ca_make(const char *directory, const struct ca_options *options, struct error *error);

// A key that is encrypted, or not in this directory, stays locked unless systemd has a passphrase for us. All but signing goes
// without it.
int ca_open(const char *directory, struct ca **ret, struct error *error);
// Fetches the key if that is locked; the passphrase as for passphrase_read(). -ENOKEY: one is needed. Errors as ca_key_load().
int ca_unlock(struct ca *ca, const char *passphrase_path, struct error *error);
// Whether its files are still those that it was opened from: another process may have changed the issuer since.
bool ca_is_current(const struct ca *ca);
struct ca *ca_close(struct ca *ca); // takes NULL, returns NULL
DEFINE_CLEANUP(struct ca *, ca_close);
// All borrowed.
const char *ca_domain(const struct ca *ca);
const char *ca_directory(const struct ca *ca);
X509 *ca_certificate(const struct ca *ca);	// the intermediate's
STACK_OF(X509) * ca_chain(const struct ca *ca); // it first, then what is sent above it
// The same at the end of another stack. -ENOMEM.
int ca_push_chain(const struct ca *ca, STACK_OF(X509) * stack);
EVP_PKEY *ca_key(const struct ca *ca); // as well; NULL: locked
struct journal *ca_journal(const struct ca *ca);
// What nodes trust, from trust.crt: a new stack.
int ca_trust(const struct ca *ca, STACK_OF(X509) * *ret, struct error *error);
// What it says of itself (RFC 7030, 4.1.3): its chain, the roots that nodes are to trust, and, while one root follows another,
// the certificate by which the old one vouches for the new: a new stack.
int ca_announce(const struct ca *ca, STACK_OF(X509) * *ret, struct error *error);

struct ca_leaf {
	const char *identity; // SPIFFE ID within the CA's trust domain
	const char *dns;      // one DNS SAN, or NULL
	int64_t lifetime_s; // 60 s to 398 days, from now or from a start to come; cut at the issuer's end
	int64_t not_before_s; // offset from now, -300 by default (clock skew); tests ask for others
	EVP_PKEY *key;	      // public half is enough
	const char *issued_by; // for the journal: "operator", "token ID", "renewal of SERIAL"
};

// Signs by the profile of README.md, "Certificates", and journals it before it returns the new certificate.
int ca_sign(struct ca *ca, const struct ca_leaf *leaf, X509 **ret, struct error *error);
int ca_lifetime_check(int64_t lifetime_s, struct error *error); // -EINVAL

struct ca_request {
	const char *identity, *dns; // these four as in struct ca_leaf
	int64_t lifetime_s, not_before_s;
	const char *certificate_path; // leaf, then intermediate; written atomically, mode 0644
	const char *key_path;	      // new P-256 key, mode 0600; written before the certificate
	bool reuse_key;		      // sign the key that is already at key_path
	const char *csr_path;	      // sign the key of this request; key_path does not matter then
};

// Signs into files. Who it is for, `request` says; what a certificate request asks for is not read.
int ca_issue(struct ca *ca, const struct ca_request *request, struct error *error);
