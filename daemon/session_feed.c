// SPDX-License-Identifier: Apache-2.0
// Theory of operation: between two turns, links and sessions come and go. A cursor over the sessions of a gateway bears that
// (server/roster.h), and so does the name of a link, in the order of names.

#include "daemon/session_feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "client/initiator.h"
#include "daemon/engine.h"
#include "daemon/feed.h"
#include "daemon/report_session.h"
#include "server/gateway.h"

struct session_feed {
	const struct engine *engine;
	char *link;  // the last one; NULL: none yet
	bool linked; // that was all of them
	uint64_t cursor;
};

// The next one by its name; NULL: there is none.
static const struct initiator *next_link(const struct session_feed *sessions)
{
	const struct initiator *link, *next = NULL;
	for (unsigned i = 0; (link = engine_initiator(sessions->engine, i)); i++) {
		const char *name = initiator_name(link);
		if ((!sessions->link || strcmp(name, sessions->link) > 0) &&
		    (!next || strcmp(name, initiator_name(next)) < 0))
			next = link;
	}
	return next;
}

// false: that was the last.
static bool put_link(struct session_feed *sessions, struct feed *feed)
{
	const struct initiator *link = next_link(sessions);
	if (!link)
		return false;
	free(sessions->link);
	sessions->link = strdup(initiator_name(link));
	if (report_is_up(link))
		feed_put(feed, report_link_session(sessions->engine, link));
	return sessions->link;
}

static bool put_member(struct session_feed *sessions, struct feed *feed)
{
	const struct gateway *gateway = engine_gateway(sessions->engine);
	const struct grant *grant;
	const struct session *session =
		gateway ? gateway_before(gateway, &sessions->cursor, &grant) : NULL;
	if (session)
		feed_put(feed, report_member(session, grant));
	return session;
}

static bool more(struct feed *feed, void *data)
{
	struct session_feed *sessions = data;
	uint64_t begin = clock_ns();
	while (feed_goes_on(feed, begin)) {
		if (!sessions->linked)
			sessions->linked = !put_link(sessions, feed);
		else if (!put_member(sessions, feed))
			return false;
	}
	return true;
}

static void on_gone(void *data)
{
	struct session_feed *sessions = data;
	free(sessions->link);
	free(sessions);
}

int session_feed_open(struct engine *engine, const json_t *request, struct feed *feed,
		      struct error *error)
{
	struct session_feed *sessions = calloc(1, sizeof(*sessions));
	const struct feed_source source = {.more = more, .gone = on_gone, .data = sessions};
	(void)request;
	if (!sessions)
		return error_set(error, ENOMEM, "out of memory");
	sessions->engine = engine;
	sessions->cursor = GATEWAY_END;
	feed_open(feed, &source);
	return 0;
}
