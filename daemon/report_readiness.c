// SPDX-License-Identifier: Apache-2.0

#include "daemon/report_readiness.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "daemon/credentials.h"
#include "daemon/engine.h"
#include "daemon/report.h"
#include "pki/credential.h"
#include "server/gateway.h"
#include "tun/anchor.h"
#include "tun/field.h"

// Nearly all nodes trust the same: what one said is written once, and shared by those after it.
struct listing {
	json_t *nodes;
	struct message_anchors last;
	json_t *hashes; // of `last`
};

static int set_last(struct listing *listing, const struct message_anchors *anchors)
{
	json_t *hashes =
		anchors->count ? field_new_hashes(anchors->hashes, anchors->count) : json_null();

	if (!hashes)
		return -ENOMEM;
	json_decref(listing->hashes);
	listing->hashes = hashes;
	listing->last = *anchors;
	return 0;
}

static int add_node(const struct declared *declared, void *data)
{
	struct listing *listing = data;
	const struct message_anchors *anchors = declared->anchors;
	bool same = listing->hashes && anchors->count == listing->last.count &&
		    memcmp(anchors->hashes, listing->last.hashes,
			   anchors->count * sizeof(anchors->hashes[0])) == 0;

	if (!same && set_last(listing, anchors) < 0)
		return -ENOMEM;
	json_t *node = json_pack("{s:s,s:O,s:I}", "identity", declared->identity, "anchors",
				 listing->hashes, "seen", (json_int_t)declared->seen);
	return json_array_append_new(listing->nodes, node) < 0 ? -ENOMEM : 0;
}

json_t *report_readiness(const struct engine *engine)
{
	struct tls_context *context = credentials_context(engine_credentials(engine), TLS_SERVER);
	const struct gateway *gateway = engine_gateway(engine);
	struct listing listing = {.nodes = json_array()};
	struct message_anchors own = {0};
	struct declared self = {
		.identity = credential_identity(tls_context_credential(context)),
		.anchors = &own,
		.seen = clock_wall(),
	};

	anchor_declare(context, &own);
	int r = add_node(&self, &listing);
	if (r == 0 && gateway)
		r = gateway_each_declared(gateway, add_node, &listing);
	json_decref(listing.hashes);
	if (r == 0)
		return json_pack("{s:i,s:s,s:o}", "schema", REPORT_SCHEMA, "identity",
				 self.identity, "nodes", listing.nodes);
	json_decref(listing.nodes);
	return NULL;
}
