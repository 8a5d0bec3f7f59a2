// SPDX-License-Identifier: Apache-2.0

#include "daemon/explain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "client/initiator.h"
#include "daemon/engine.h"
#include "daemon/feed.h"
#include "daemon/policy_role.h"
#include "daemon/tunnel.h"
#include "server/gateway.h"
#include "tun/dataplane.h"
#include "tun/guard.h"
#include "tun/inquiry.h"
#include "tun/rule.h"
#include "tun/session.h"
#include "tun/target.h"

#define WITHIN_US 3000000u

// --- what this node makes of it

// Rules know peers, inbound rules the link that something comes over: the other end of a packet is but its address to them.
static const struct filter_class *class_of(const struct filter *filter, enum filter_program program,
					   const struct session *session)
{
	bool known = session && session->initiator == (program == FILTER_INBOUND);
	return known ? filter_class(filter, session->subject->number) : NULL;
}

static void judge(const struct engine *engine, enum filter_program program,
		  const struct session *from, const struct session *to,
		  const struct message_question *question, struct message_answer *ret)
{
	const struct guard *guard = dataplane_guard(engine_tunnel(engine)->dataplane);
	const struct filter *filter = atomic_load(&guard->filter);
	struct filter_verdict verdict;
	if (!filter) {
		ret->allow = true;
		snprintf(ret->why, sizeof(ret->why), "there is no policy: everything passes");
		return;
	}
	struct filter_question asked = {
		.program = program,
		.from = {class_of(filter, program, from), &question->from},
		.to = {class_of(filter, program, to), &question->to},
		.protocol = question->protocol,
		.port = question->port,
	};
	filter_judge(filter, &asked, &verdict);
	const struct rule *rule = policy_role_rule(engine_policy(engine), program, verdict.rule,
						   filter_generation(filter));
	ret->allow = verdict.allow;
	snprintf(ret->rule, sizeof(ret->rule), "%s", rule && rule->name ? rule->name : "");
	snprintf(ret->place, sizeof(ret->place), "%s", rule ? rule->place : "");
	if (verdict.rule == FILTER_NO_RULE)
		snprintf(ret->why, sizeof(ret->why), "no rule allows it");
	else
		snprintf(ret->why, sizeof(ret->why), "this rule %s it",
			 verdict.allow ? "allows" : "denies");
}

bool explain_asked(const struct session *session, const struct message_question *question,
		   struct message_answer *ret, void *data)
{
	const struct engine *engine = data;
	const struct routes *routes = dataplane_routes(session->dataplane);
	if (route_lookup(routes, &question->from) != session) {
		snprintf(ret->why, sizeof(ret->why), "its source address is not of this session");
		return true;
	}
	if (session->initiator)
		judge(engine, FILTER_INBOUND, session, NULL, question, ret);
	else
		judge(engine, FILTER_RULES, session, route_lookup(routes, &question->to), question,
		      ret);
	return true;
}

// --- asking both ends

struct explain {
	struct engine *engine;
	struct feed *feed;
	struct inquiry *inquiry;
	sd_event_source *timer;
	char *other; // identity of the other end
};

static void put_verdict(struct feed *feed, const char *end, const struct message_answer *answer)
{
	feed_put(feed, json_pack("{s:s,s:b,s:s,s:s,s:s}", "end", end, "allow", answer->allow,
				 "rule", answer->rule, "place", answer->place, "why", answer->why));
}

static void put_failure(struct feed *feed, const char *end, const char *why)
{
	feed_put(feed, json_pack("{s:s,s:s}", "end", end, "error", why));
}

static void on_answer(const struct message_answer *answer, void *data)
{
	struct explain *explain = data;
	if (answer)
		put_verdict(explain->feed, explain->other, answer);
	else
		put_failure(explain->feed, explain->other, "its session is over");
	feed_complete(explain->feed);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	struct explain *explain = data;
	(void)source;
	(void)usec;
	explain->inquiry = inquiry_free(explain->inquiry);
	put_failure(explain->feed, explain->other, "it gave no answer");
	feed_complete(explain->feed);
	return 0;
}

static void on_gone(void *data)
{
	struct explain *explain = data;
	inquiry_free(explain->inquiry);
	sd_event_source_disable_unref(explain->timer);
	free(explain->other);
	free(explain);
}

static struct initiator *initiator_of(const struct engine *engine, const struct session *session)
{
	struct initiator *initiator;
	for (unsigned i = 0; (initiator = engine_initiator(engine, i)); i++) {
		struct initiator_status status;
		initiator_status(initiator, &status);
		if (status.session == session)
			return initiator;
	}
	return NULL;
}

static int ask_peer(struct explain *explain, const struct session *peer,
		    const struct message_question *question)
{
	struct engine *engine = explain->engine;
	if (!peer->initiator)
		return gateway_ask(engine_gateway(engine), peer->identity, question, on_answer,
				   explain, &explain->inquiry);
	struct initiator *initiator = initiator_of(engine, peer);
	return initiator ? initiator_ask(initiator, question, on_answer, explain, &explain->inquiry)
			 : -ENOTCONN;
}

static void ask_other(struct explain *explain, const struct session *peer,
		      const struct message_question *question)
{
	int r = ask_peer(explain, peer, question);
	if (r == 0)
		r = sd_event_add_time_relative(engine_event(explain->engine), &explain->timer,
					       CLOCK_MONOTONIC, WITHIN_US, 0, on_timer, explain);
	if (r >= 0)
		return;
	explain->inquiry = inquiry_free(explain->inquiry);
	put_failure(explain->feed, explain->other,
		    r == -EOPNOTSUPP ? "it does not know such questions" : strerror(-r));
	feed_complete(explain->feed);
}

// An address of that family of the peer, or of ours in its tunnel.
struct wanted {
	const char *identity;
	uint8_t family;
	struct addr addr;
};

static void find_address(struct wanted *wanted, const struct prefix *list, unsigned count)
{
	for (unsigned i = 0; i < count && wanted->addr.family == AF_UNSPEC; i++)
		if (list[i].addr.family == wanted->family)
			wanted->addr = list[i].addr;
}

static void look_at_member(struct session *session, const struct grant *grant, void *data)
{
	struct wanted *wanted = data;
	if (strcmp(session->identity, wanted->identity) == 0)
		find_address(wanted, grant->addresses, grant->address_count);
}

// "from": an address, an identity that is connected, or nothing: this node itself.
static int find_from(const struct engine *engine, const char *from, const struct session *to,
		     struct message_question *question, struct error *error)
{
	struct wanted wanted = {.identity = from, .family = question->to.family};
	if (from && addr_parse(from, &question->from) == 0)
		return 0;
	if (from && engine_gateway(engine))
		gateway_each(engine_gateway(engine), look_at_member, &wanted);
	struct initiator *link = !from && to ? initiator_of(engine, to) : NULL;
	if (link) {
		struct initiator_status status;
		initiator_status(link, &status);
		find_address(&wanted, status.addresses, status.address_count);
	}
	question->from = wanted.addr;
	if (wanted.addr.family != AF_UNSPEC)
		return 0;
	error_set(error, ENOENT, "%s has no address of the family of the destination here now",
		  from ? from : "this node");
	return error_remedy(error, "name an address with --from");
}

static int read_question(const struct engine *engine, const json_t *request,
			 struct message_question *ret, struct error *error)
{
	const char *to = json_string_value(json_object_get(request, "to"));
	const char *from = json_string_value(json_object_get(request, "from"));
	const char *protocol = json_string_value(json_object_get(request, "protocol"));
	const struct routes *routes = dataplane_routes(engine_tunnel(engine)->dataplane);
	*ret = (struct message_question){
		.protocol = IPPROTO_TCP,
		.port = (uint16_t)json_integer_value(json_object_get(request, "port")),
	};
	if (!to || addr_parse(to, &ret->to) < 0)
		return error_set(error, EINVAL, "\"%.64s\" is no address", to ? to : "");
	if (protocol && target_protocol_parse(protocol, &ret->protocol) < 0)
		return error_set(error, EINVAL, "\"%.64s\" is no protocol", protocol);
	return find_from(engine, from, route_lookup(routes, &ret->to), ret, error);
}

// What this node would do with it, then what the end that it goes to says.
static void answer(struct explain *explain, const struct message_question *question)
{
	const struct routes *routes = dataplane_routes(engine_tunnel(explain->engine)->dataplane);
	const struct session *from = route_lookup(routes, &question->from);
	const struct session *to = route_lookup(routes, &question->to);
	struct message_answer here = {.allow = true};
	// Our own addresses are within what the gateway routes.
	if (from && from == to && from->initiator)
		from = NULL;
	if (from && from->initiator)
		judge(explain->engine, FILTER_INBOUND, from, to, question, &here);
	else if (from || (to && !to->initiator))
		judge(explain->engine, FILTER_RULES, from, to, question, &here);
	else
		snprintf(here.why, sizeof(here.why), "what this node sends itself passes");
	put_verdict(explain->feed, "here", &here);
	if (!to) {
		feed_complete(explain->feed);
		return;
	}
	explain->other = strdup(to->identity);
	if (explain->other)
		ask_other(explain, to, question);
	else
		feed_complete(explain->feed);
}

int explain_open(struct engine *engine, const json_t *request, struct feed *feed,
		 struct error *error)
{
	struct message_question question;
	int r = read_question(engine, request, &question, error);
	if (r < 0)
		return r;
	struct explain *explain = calloc(1, sizeof(*explain));
	struct feed_source source = {.gone = on_gone, .data = explain};
	if (!explain)
		return error_set(error, ENOMEM, "out of memory");
	explain->engine = engine;
	explain->feed = feed;
	feed_open(feed, &source);
	answer(explain, &question);
	return 0;
}
