// SPDX-License-Identifier: Apache-2.0

#include "tun/anchor.h"

#include <assert.h>

#include "pki/credential.h"
#include "pki/identity.h"
#include "pki/tls.h"
#include "pki/trust.h"

static_assert(ANCHOR_SIZE == TRUST_ANCHOR_SIZE, "one hash");

void anchor_declare(const struct tls_context *context, struct message_anchors *ret)
{
	const char *domain;
	size_t length =
		identity_domain(credential_identity(tls_context_credential(context)), &domain);

	ret->count = (unsigned)trust_anchors(tls_context_trust(context), domain, length,
					     ret->hashes, MESSAGE_ANCHORS_MAX);
}

bool anchor_is_news(const struct tls_context *context, const char *peer,
		    const struct message_anchors *anchors)
{
	const char *own = credential_identity(tls_context_credential(context));
	const char *domain;
	size_t length = identity_domain(own, &domain);

	for (unsigned i = 0; identity_same_domain(own, peer) && i < anchors->count; i++)
		if (!trust_has_anchor(tls_context_trust(context), domain, length,
				      anchors->hashes[i]))
			return true;
	return false;
}
