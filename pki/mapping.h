// SPDX-License-Identifier: Apache-2.0
// Identities for certificates of a PKI that writes no SPIFFE IDs: rules that make one of a DNS name or an e-mail address in the
// subject alternative name. A rule is of one type and sees only names of that type; a certificate with a URI name never comes
// here.
#pragma once

#include <stddef.h>
#include <openssl/x509v3.h>

#include "base/cleanup.h"

struct error;
struct mapping;

#define MAPPING_WILDCARDS_MAX 9u

enum mapping_type { MAPPING_DNS, MAPPING_EMAIL };

// `name`: labels between dots, in lower case, of which "*" stands for one whole label and not the last; an e-mail address has
// its local part and "@" before that, and the local part counts as one label. `identity`: what becomes of it, with $1 for
// what the first "*" stood for, and so on; each of them must be used, for otherwise many would be one.
struct mapping_rule {
	enum mapping_type type;
	const char *name;
	const char *identity;
};

// Whether a rule can be used, and makes identities of this trust domain (NULL: of any). -EINVAL.
int mapping_rule_check(const struct mapping_rule *rule, const char *domain, struct error *error);

// Copies the rules, which must have passed the check. Returns a new, immutable object. -ENOMEM.
int mapping_new(const struct mapping_rule *rules, size_t count, struct mapping **ret);
struct mapping *mapping_free(struct mapping *mapping); // takes NULL, returns NULL
DEFINE_CLEANUP(struct mapping *, mapping_free);

// The identity that exactly one rule makes of exactly one of the names. Returns a new string. -EINVAL with what follows
// "certificate ": no name that a rule maps, several, one that cannot be read.
int mapping_identity(const struct mapping *mapping, const GENERAL_NAMES *names, char **ret,
		     struct error *error);
