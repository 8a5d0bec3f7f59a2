// SPDX-License-Identifier: Apache-2.0

#include "server/grant.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "tun/dataplane.h"
#include "tun/session.h"
#include "tun/translate.h"

static int set_terms(const struct grant *grant, struct session *session)
{
	const struct admit_peer *peer = grant->peer;
	struct translations *translations = NULL;
	if (peer && peer->translation_count) {
		translations = translations_new(peer->translations, peer->translation_count);
		if (!translations)
			return -ENOMEM;
	}
	session_set_translations(session, translations);
	session_set_rate(session, grant->rate);
	return 0;
}

static int set_routes(const struct grant *grant, struct session *session)
{
	const struct admit_peer *peer = grant->peer;
	const struct route_list lists[] = {
		{.prefixes = grant->addresses, .count = grant->address_count},
		{.prefixes = peer ? peer->networks : NULL,
		 .count = peer ? peer->network_count : 0,
		 .metric = peer ? peer->metric : 0},
	};
	return routes_set(dataplane_routes(session->dataplane), session, lists, 2);
}

static bool same_prefixes(const struct prefix *a, unsigned a_count, const struct prefix *b,
			  unsigned b_count)
{
	return a_count == b_count && (a_count == 0 || memcmp(a, b, a_count * sizeof(*a)) == 0);
}

// Thousands of sessions, of which most do not change, are asked with each reload.
static bool same_routes(const struct grant *a, const struct grant *b)
{
	static const struct admit_peer nobody;
	const struct admit_peer *x = a->peer ? a->peer : &nobody, *y = b->peer ? b->peer : &nobody;
	return same_prefixes(a->addresses, a->address_count, b->addresses, b->address_count) &&
	       same_prefixes(x->networks, x->network_count, y->networks, y->network_count) &&
	       x->metric == y->metric;
}

int grant_apply(const struct grant *before, const struct grant *grant, struct session *session,
		struct error *error)
{
	int r = set_terms(grant, session);
	if (r == 0 && !(before && same_routes(before, grant)))
		r = set_routes(grant, session);
	if (r == -EEXIST) {
		// Who has it may be about to lose it to this one, and may want what this one had.
		routes_remove(dataplane_routes(session->dataplane), session, NULL, 0);
		return error_set(error, EEXIST,
				 "an address or network of %s is in use by another session",
				 session->identity);
	}
	return r < 0 ? error_set(error, -r, "cannot add routes: %s", strerror(-r)) : 0;
}

unsigned grant_mtu(const struct grant *grant, unsigned own, unsigned peer)
{
	unsigned most = own < peer ? own : peer;
	return grant->mtu && grant->mtu < most ? grant->mtu : most;
}

void grant_say(const struct grant *grant, const struct grant_routes *routes, unsigned mtu,
	       struct message_config *ret)
{
	*ret = (struct message_config){
		.address_count = grant->address_count,
		.routes = (struct prefix *)routes->prefixes,
		.route_count = routes->count,
		.mtu = mtu,
		.push = routes->push,
	};
	memcpy(ret->addresses, grant->addresses, grant->address_count * sizeof(ret->addresses[0]));
}
