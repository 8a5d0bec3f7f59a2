// SPDX-License-Identifier: Apache-2.0

#include "daemon/evidence.h"

#include <string.h>

#include "client/initiator.h"
#include "daemon/config.h"
#include "daemon/engine.h"
#include "pki/credential.h"
#include "server/gateway.h"
#include "tun/session.h"

#define FINGERPRINT_SIZE 32
#define GRACE_S		 30u // after the time within which clients were asked to prove themselves again

struct search {
	const struct credential *credential;
	struct renewer_evidence *found;
};

// New credentials are new objects: the same object, or one loaded anew from the same files.
bool evidence_shown_in(const struct session *session, const struct credential *credential)
{
	const struct credential *own = session_own(session);

	return own && (own == credential ||
		       memcmp(credential_fingerprint(own), credential_fingerprint(credential),
			      FINGERPRINT_SIZE) == 0);
}

static void look_at(struct session *session, const struct grant *grant, void *data)
{
	struct search *search = data;

	(void)grant;
	search->found->clients = true;
	search->found->proved |= evidence_shown_in(session, search->credential);
}

struct renewer_evidence evidence_gather(const struct engine *engine,
					const struct credential *credential)
{
	const struct gateway *gateway = engine_gateway(engine);
	struct renewer_evidence found = {
		.clients_within_s = engine_config(engine)->gateway.reauth_within_s + GRACE_S,
	};
	struct search search = {credential, &found};
	const struct initiator *link;

	for (unsigned i = 0; (link = engine_initiator(engine, i)); i++) {
		struct initiator_status status;
		initiator_status(link, &status);
		found.refused_by_gateways += status.refusals;
		found.proved |= status.session && evidence_shown_in(status.session, credential);
	}
	if (gateway) {
		gateway_each(gateway, look_at, &search);
		found.refused_by_clients = (unsigned)gateway_counters(gateway).refused_us;
	}
	return found;
}
