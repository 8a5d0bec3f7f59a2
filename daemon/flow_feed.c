// SPDX-License-Identifier: Apache-2.0
// Theory of operation: the table is walked by a cursor over its buckets (tun/flow.h), a few milliseconds at a time, as its reader takes it.
// To follow, it is walked again every second, in slices, and what began since the walk before is told. What is refused makes no
// flow: the workers note it (daemon/lookout.h).

#include "daemon/flow_feed.h"

#include <errno.h>
#include <stdlib.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "daemon/engine.h"
#include "daemon/feed.h"
#include "daemon/lookout.h"
#include "daemon/report_refusals.h"
#include "tun/selection.h"
#include "daemon/policy_role.h"
#include "daemon/tunnel.h"
#include "tun/dataplane.h"
#include "tun/guard.h"
#include "tun/rule.h"
#include "tun/target.h"

#define SLICE_BUCKETS 256u
#define WALK_US	      1000000u
#define PAUSE_US      1000u

struct flow_feed {
	struct engine *engine;
	struct feed *feed;
	struct selection selection;
	size_t cursor;
	uint32_t since_s; // to follow: this walk tells what began from then on,
	uint32_t until_s; // and before this: when it began itself
	sd_event_source *timer;
	struct lookout_follower follower;
	bool follows, denied;
};

static struct guard *guard_of(const struct engine *engine)
{
	return dataplane_guard(engine_tunnel(engine)->dataplane);
}

static const char *identity_of(const struct subject *subject)
{
	return subject ? subject->identity : NULL;
}

// The rule that let it begin, while that is in force.
static const struct rule *rule_of(const struct engine *engine, const struct flow *flow)
{
	const struct filter *filter = atomic_load(&guard_of(engine)->filter);
	if (!filter ||
	    atomic_load(&flow->generation) != guard_generation(filter, flow->from, flow->to))
		return NULL;
	return policy_role_rule(engine_policy(engine), flow_program(flow), atomic_load(&flow->rule),
				filter_generation(filter));
}

static json_t *flow_line(const struct engine *engine, const struct flow *flow, uint32_t now_s)
{
	const struct flow_key *key = &flow->key;
	const struct rule *rule = rule_of(engine, flow);
	char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX];
	char protocol[TARGET_TEXT_MAX], target[TARGET_TEXT_MAX];
	return json_pack(
		"{s:s*,s:s,s:i,s:s*,s:s,s:i,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:s*,s:s*}", "from",
		identity_of(flow->from), "from_address", addr_text(&key->from, from), "from_port",
		(int)key->from_port, "to", identity_of(flow->to), "to_address",
		addr_text(&key->to, to), "port", (int)flow->service, "protocol",
		target_protocol_text(key->protocol, protocol), "target",
		target_text(key->protocol, &key->to, flow->service, target), "state",
		flow_state_name((enum flow_state)atomic_load(&flow->state)), "age_s",
		(json_int_t)(now_s - flow->began_s), "idle_s",
		(json_int_t)(now_s - atomic_load(&flow->seen_s)), "sent_bytes",
		(json_int_t)atomic_load(&flow->bytes[0]), "received_bytes",
		(json_int_t)atomic_load(&flow->bytes[1]), "sent_packets",
		(json_int_t)atomic_load(&flow->packets[0]), "received_packets",
		(json_int_t)atomic_load(&flow->packets[1]), "rule", rule ? rule->name : NULL,
		"place", rule ? rule->place : NULL);
}

static void put_flow(const struct flow *flow, void *data)
{
	struct flow_feed *flows = data;
	if ((flows->follows &&
	     (flow->began_s < flows->since_s || flow->began_s >= flows->until_s)) ||
	    !selection_matches(&flows->selection, &flow->key, flow->service,
			       identity_of(flow->from), identity_of(flow->to)))
		return;
	json_t *line = flow_line(flows->engine, flow, (uint32_t)(clock_ms() / 1000));
	if (flows->follows)
		json_object_set_new(line, "event", json_string("begun"));
	feed_put(flows->feed, line);
}

// A few milliseconds of the walk. false: it is complete.
static bool walk(struct flow_feed *flows)
{
	uint64_t begin = clock_ns();
	const struct flows *table = guard_of(flows->engine)->flows;
	bool left = true;
	while (left && feed_goes_on(flows->feed, begin))
		left = flows_each(table, &flows->cursor, SLICE_BUCKETS,
				  (uint32_t)(clock_ms() / 1000), put_flow, flows);
	return left;
}

static bool on_more(struct feed *feed, void *data)
{
	(void)feed;
	return walk(data);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	struct flow_feed *flows = data;
	(void)usec;
	if (flows->cursor == 0)
		flows->until_s = (uint32_t)(clock_ms() / 1000);
	bool left = walk(flows);
	if (!left) {
		flows->cursor = 0;
		flows->since_s = flows->until_s;
	}
	sd_event_source_set_time_relative(source, left ? PAUSE_US : WALK_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void on_sighting(const struct sighting *sighting, void *data)
{
	struct flow_feed *flows = data;
	const struct note *note = sighting->note;
	if (note->type != NOTE_DENIED ||
	    !selection_matches(&flows->selection, &note->key, note->service, sighting->from,
			       sighting->to))
		return;
	json_t *line = sighting_json(sighting);
	json_object_set_new(line, "event", json_string("denied"));
	json_object_set_new(line, "count", json_integer((json_int_t)sighting->count));
	feed_put(flows->feed, line);
}

static void on_gone(void *data)
{
	struct flow_feed *flows = data;
	if (flows->follows)
		lookout_forget(engine_lookout(flows->engine), &flows->follower);
	sd_event_source_disable_unref(flows->timer);
	selection_done(&flows->selection);
	free(flows);
}

static int follow(struct flow_feed *flows)
{
	flows->since_s = (uint32_t)(clock_ms() / 1000);
	flows->follower.each = on_sighting;
	flows->follower.data = flows;
	if (!flows->denied) {
		int r = sd_event_add_time_relative(engine_event(flows->engine), &flows->timer,
						   CLOCK_MONOTONIC, PAUSE_US, 0, on_timer, flows);
		if (r < 0)
			return r;
	}
	lookout_follow(engine_lookout(flows->engine), &flows->follower);
	return 0;
}

static void put_refusals(struct flow_feed *flows)
{
	json_t *list = report_refusals(lookout_refusals(engine_lookout(flows->engine)));
	json_t *line;
	size_t i;
	json_array_foreach (list, i, line)
		feed_put(flows->feed, json_incref(line));
	json_decref(list);
	feed_complete(flows->feed);
}

int flow_feed_open(struct engine *engine, const json_t *request, struct feed *feed,
		   struct error *error)
{
	struct flow_feed *flows = calloc(1, sizeof(*flows));
	struct feed_source source = {.gone = on_gone, .data = flows};
	if (!flows)
		return error_set(error, ENOMEM, "out of memory");
	flows->engine = engine;
	flows->feed = feed;
	flows->denied = json_is_true(json_object_get(request, "denied"));
	bool follows = json_is_true(json_object_get(request, "follow"));
	int r = selection_parse(request, &flows->selection, error);
	if (r == 0 && follows && (r = follow(flows)) < 0)
		error_set(error, -r, "out of memory");
	if (r < 0) {
		on_gone(flows);
		return r;
	}
	flows->follows = follows;
	if (!follows && !flows->denied)
		source.more = on_more;
	feed_open(feed, &source);
	if (!follows && flows->denied)
		put_refusals(flows);
	return 0;
}
