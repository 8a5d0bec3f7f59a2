// SPDX-License-Identifier: Apache-2.0

#include "daemon/route_feed.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/engine.h"
#include "daemon/feed.h"
#include "daemon/tunnel.h"
#include "tun/dataplane.h"
#include "tun/route.h"
#include "tun/session.h"

struct route_feed {
	const struct engine *engine;
	size_t position;
};

static bool more(struct feed *feed, void *data)
{
	struct route_feed *walk = data;
	const struct routes *routes = dataplane_routes(engine_tunnel(walk->engine)->dataplane);
	uint64_t begin = clock_ns();
	struct session *session;
	struct prefix prefix;
	char text[PREFIX_TEXT_MAX];
	while (feed_goes_on(feed, begin)) {
		if (!routes_at(routes, walk->position++, &prefix, &session))
			return false;
		bool standby = routes_owner(routes, &prefix) != session;
		feed_put(feed, json_pack("{s:s,s:s,s:b}", "prefix", prefix_text(&prefix, text),
					 "identity", session->identity, "standby", standby));
	}
	return true;
}

int route_feed_open(struct engine *engine, const json_t *request, struct feed *feed,
		    struct error *error)
{
	struct route_feed *walk = calloc(1, sizeof(*walk));
	const struct feed_source source = {.more = more, .gone = free, .data = walk};
	(void)request;
	if (!walk)
		return error_set(error, ENOMEM, "out of memory");
	walk->engine = engine;
	feed_open(feed, &source);
	return 0;
}
