// SPDX-License-Identifier: Apache-2.0

#include "daemon/trace_feed.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "daemon/engine.h"
#include "daemon/feed.h"
#include "daemon/lookout.h"
#include "daemon/tunnel.h"
#include "tun/dataplane.h"
#include "tun/session.h"
#include "tun/trace.h"

#define COUNT	  10u // where nobody says how many
#define COUNT_MAX 10000u

struct trace_feed {
	struct dataplane *dataplane;
	struct lookout *lookout;
	struct feed *feed;
	struct lookout_follower follower;
	unsigned left;
	bool begun;
};

// Where a packet of a peer came from.
static void add_path(const struct trace_feed *trace, const struct note *note, json_t *line)
{
	const struct session *session = dataplane_find(trace->dataplane, note->session_index);
	struct session_status status;
	char text[ENDPOINT_TEXT_MAX];
	if (note->outbound || !session)
		return;
	session_status(session, &status);
	json_object_set_new(line, "over", json_string(status.in_channel ? "tcp" : "udp"));
	if (status.endpoint.addr.family != AF_UNSPEC)
		json_object_set_new(line, "path",
				    json_string(endpoint_text(&status.endpoint, text)));
}

// The stages that it passed, and the one that it did not.
static json_t *stages_of(const struct note *note)
{
	json_t *array = json_array();
	unsigned first = note->outbound ? TRACE_PARSED : TRACE_OPENED;
	json_array_append_new(array, json_string(trace_stage_name(TRACE_RECEIVED)));
	for (unsigned i = first; i < note->stage; i++)
		if (i != TRACE_SOURCE || !note->outbound)
			json_array_append_new(array,
					      json_string(trace_stage_name((enum trace_stage)i)));
	if (note->drop == DROP_NONE)
		json_array_append_new(array, json_string(trace_stage_name(TRACE_SENT)));
	return array;
}

static json_t *line_of(const struct trace_feed *trace, const struct sighting *sighting)
{
	const struct note *note = sighting->note;
	bool dropped = note->drop != DROP_NONE;
	json_t *line = sighting_json(sighting);
	if (!line)
		return NULL;
	json_object_set_new(line, "from_port", json_integer(note->key.from_port));
	json_object_set_new(line, "size", json_integer(note->size));
	json_object_set_new(line, "at_ns", json_integer((json_int_t)note->at_ns));
	json_object_set_new(line, "read", json_boolean(note->read));
	json_object_set_new(line, "way", json_string(note->outbound ? "out" : "in"));
	add_path(trace, note, line);
	json_object_set_new(line, "stages", stages_of(note));
	if (note->stage > TRACE_JUDGED)
		json_object_set_new(line, "flow", json_string(note->hit ? "known" : "begun"));
	json_object_set_new(line, "verdict", json_string(dropped ? "dropped" : "passed"));
	if (dropped)
		json_object_set_new(line, "stage",
				    json_string(trace_stage_name((enum trace_stage)note->stage)));
	return line;
}

static void on_sighting(const struct sighting *sighting, void *data)
{
	struct trace_feed *trace = data;
	if (sighting->note->type != NOTE_TRACED || trace->left == 0)
		return;
	feed_put(trace->feed, line_of(trace, sighting));
	if (--trace->left == 0)
		feed_complete(trace->feed);
}

static void on_gone(void *data)
{
	struct trace_feed *trace = data;
	if (trace->begun) {
		dataplane_set_trace(trace->dataplane, NULL);
		lookout_forget(trace->lookout, &trace->follower);
	}
	free(trace);
}

static int begin(struct trace_feed *trace, const json_t *request, struct error *error)
{
	struct selection selection;
	int r = selection_parse(request, &selection, error);
	struct trace *wanted = r == 0 ? trace_new(&selection, trace->left) : NULL;
	selection_done(&selection);
	if (r < 0)
		return r;
	if (!wanted)
		return error_set(error, ENOMEM, "out of memory");
	lookout_follow(trace->lookout, &trace->follower);
	dataplane_set_trace(trace->dataplane, wanted);
	trace->begun = true;
	return 0;
}

int trace_feed_open(struct engine *engine, const json_t *request, struct feed *feed,
		    struct error *error)
{
	json_int_t count = json_integer_value(json_object_get(request, "count"));
	struct trace_feed *trace = calloc(1, sizeof(*trace));
	struct feed_source source = {.gone = on_gone, .data = trace};
	if (!trace)
		return error_set(error, ENOMEM, "out of memory");
	trace->dataplane = engine_tunnel(engine)->dataplane;
	trace->lookout = engine_lookout(engine);
	trace->feed = feed;
	trace->left = count > 0 && count <= COUNT_MAX ? (unsigned)count : COUNT;
	trace->follower = (struct lookout_follower){.each = on_sighting, .data = trace};
	int r = 0;
	if (dataplane_trace(trace->dataplane)) {
		error_set(error, EBUSY, "somebody traces packets already");
		r = error_remedy(error, "wait, or end the other \"mutun trace\"");
	}
	if (r == 0)
		r = begin(trace, request, error);
	if (r < 0) {
		on_gone(trace);
		return r;
	}
	feed_open(feed, &source);
	return 0;
}
