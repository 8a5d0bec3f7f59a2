// SPDX-License-Identifier: Apache-2.0
// The certificates that a CA has itself: how long they live, and how each follows the one before. A generation's number is in
// its name ("issuing CA 2"), from the second on.
#pragma once

#include <stdint.h>
#include <time.h>
#include <openssl/x509.h>

struct error;

#define ISSUER_BACKDATE_S \
	300 // clocks of nodes may be as much behind the CA's: what it signs is valid from then on
#define ISSUER_ROOT_S	 (3650LL * 86400)
#define ISSUER_ISSUING_S (90LL * 86400)
#define ISSUER_WARN_S \
	(30LL * 86400) // so long before its end an issuing certificate wants to be replaced

// All of them: valid from five minutes before `now`, never longer than what signs them. New certificates. -EIO.
int issuer_root(const char *domain, unsigned generation, EVP_PKEY *key, time_t now, X509 **ret,
		struct error *error);
// `root`, signed by the root before it as well: who knows only that one believes what `root` signs.
int issuer_cross(const char *domain, X509 *root, X509 *old_root, EVP_PKEY *old_key, time_t now,
		 X509 **ret, struct error *error);
int issuer_intermediate(const char *domain, unsigned generation, EVP_PKEY *key, X509 *root,
			EVP_PKEY *root_key, time_t now, X509 **ret, struct error *error);
