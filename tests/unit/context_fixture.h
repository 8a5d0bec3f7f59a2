// SPDX-License-Identifier: Apache-2.0
// TLS contexts for tests of what stands on TLS.
#pragma once

#include "pki/credential.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "unit/pki_fixture.h"

#define FIXTURE_DOMAIN	"corp.example"
#define FIXTURE_GATEWAY "spiffe://corp.example/gateway/one"
#define FIXTURE_ALICE	"spiffe://corp.example/laptop/alice"

// A new context with the credential `leaf` that trusts `ca` for FIXTURE_DOMAIN. NULL on failure.
static inline struct tls_context *fixture_context(enum tls_role role, const struct fixture *leaf,
						  const struct fixture *ca)
{
	_cleanup_(credential_putp) struct credential *credential = fixture_credential(leaf);
	_cleanup_(trust_putp) struct trust *trust = fixture_trust(FIXTURE_DOMAIN, ca);
	struct tls_context *context = NULL;

	return tls_context_new(role, credential, trust, &context, NULL) == 0 ? context : NULL;
}
