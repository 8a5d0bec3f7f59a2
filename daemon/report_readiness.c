// SPDX-License-Identifier: Apache-2.0

#include "daemon/report_readiness.h"

#include <errno.h>

#include "base/clock.h"
#include "daemon/credentials.h"
#include "daemon/engine.h"
#include "pki/credential.h"
#include "server/gateway.h"
#include "tun/anchor.h"
#include "tun/field.h"

#define SCHEMA 1

static int add_node(const struct declared *declared, void *data)
{
	const struct message_anchors *anchors = declared->anchors;
	json_t *node = json_pack("{s:s,s:o,s:I}", "identity", declared->identity, "anchors",
				 anchors->count ? field_new_hashes(anchors->hashes, anchors->count)
						: json_null(),
				 "seen", (json_int_t)declared->seen);

	return json_array_append_new(data, node) < 0 ? -ENOMEM : 0;
}

json_t *report_readiness(const struct engine *engine)
{
	struct tls_context *context = credentials_context(engine_credentials(engine), TLS_SERVER);
	const struct gateway *gateway = engine_gateway(engine);
	struct message_anchors own;
	struct declared self = {
		.identity = credential_identity(tls_context_credential(context)),
		.anchors = &own,
		.seen = clock_wall(),
	};
	json_auto_t *nodes = json_array();

	anchor_declare(context, &own);
	int r = add_node(&self, nodes);
	if (r == 0 && gateway)
		r = gateway_each_declared(gateway, add_node, nodes);
	return r < 0 ? NULL
		     : json_pack("{s:i,s:s,s:O}", "schema", SCHEMA, "identity", self.identity,
				 "nodes", nodes);
}
