// SPDX-License-Identifier: Apache-2.0

#include "pki/issuer.h"

#include <errno.h>

#include "base/error.h"
#include "pki/certificate.h"
#include "pki/profile.h"

static int sign(enum profile_kind kind, struct profile_subject *subject, X509 *issuer,
		EVP_PKEY *issuer_key, X509 **ret, struct error *error)
{
	time_t from, to;

	if (certificate_lifetime(issuer, &from, &to) < 0)
		return error_set(error, EINVAL, "the times of the root cannot be read");
	if (subject->not_after > to)
		subject->not_after = to;
	if (subject->not_before < from)
		subject->not_before = from;
	if (subject->not_before < subject->not_after)
		return profile_sign(kind, subject, issuer, issuer_key, ret, error);
	error_set(error, EKEYEXPIRED, "the root has expired");
	return error_remedy(error, "a new CA is needed: mutun ca init");
}

int issuer_root(const char *domain, unsigned generation, EVP_PKEY *key, time_t now, X509 **ret,
		struct error *error)
{
	struct profile_subject subject = {.domain = domain,
					  .generation = generation,
					  .key = key,
					  .not_before = now - ISSUER_BACKDATE_S,
					  .not_after = now + ISSUER_ROOT_S};

	return profile_sign(PROFILE_ROOT, &subject, NULL, NULL, ret, error);
}

int issuer_cross(const char *domain, X509 *root, X509 *old_root, EVP_PKEY *old_key, time_t now,
		 X509 **ret, struct error *error)
{
	struct profile_subject subject = {.domain = domain,
					  .generation = profile_generation(root),
					  .key = X509_get0_pubkey(root),
					  .not_before = now - ISSUER_BACKDATE_S,
					  .not_after = now + ISSUER_ROOT_S};

	return sign(PROFILE_CROSS, &subject, old_root, old_key, ret, error);
}

int issuer_intermediate(const char *domain, unsigned generation, EVP_PKEY *key, X509 *root,
			EVP_PKEY *root_key, time_t now, X509 **ret, struct error *error)
{
	struct profile_subject subject = {.domain = domain,
					  .generation = generation,
					  .key = key,
					  .not_before = now - ISSUER_BACKDATE_S,
					  .not_after = now + ISSUER_ISSUING_S};

	return sign(PROFILE_INTERMEDIATE, &subject, root, root_key, ret, error);
}
