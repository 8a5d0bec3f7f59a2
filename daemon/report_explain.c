// SPDX-License-Identifier: Apache-2.0

#include "daemon/report_explain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/error.h"
#include "client/apply.h"
#include "daemon/config.h"
#include "daemon/config_end.h"
#include "daemon/engine.h"
#include "daemon/report.h"
#include "daemon/tunnel.h"
#include "pki/identity.h"
#include "server/policy_explain.h"
#include "server/policy_service.h"
#include "server/policy_trial.h"
#include "server/policy_words.h"
#include "server/when.h"
#include "tun/dataplane.h"
#include "tun/guard.h"
#include "tun/route.h"
#include "tun/session.h"

// One end of the question.
struct side {
	struct policy_end end;
	char *identity; // NULL: only an address
	const char *unit[1];
	struct filter_peer peer;
	bool live; // it has a session
	struct addr addr;
};

struct explain {
	const struct config *config;
	const struct rules *rules;
	struct side from, to;
	struct rule_question question;
	enum config_own to_own; // whether `to` is this node itself
	time_t at;
	bool running; // asked of a daemon, not of a file
};

static void explain_done(struct explain *explain)
{
	free(explain->from.identity);
	free(explain->to.identity);
}

// --- the question

// `link`: whom this node dials, else who dials it.
static void find_session(struct side *side, const struct engine *engine, bool link)
{
	struct dataplane *dataplane = engine_tunnel(engine)->dataplane;
	const struct subject *subject =
		subject_find(dataplane_guard(dataplane)->subjects, side->identity, link);
	const struct routes *routes = dataplane_routes(dataplane);
	struct session *session;
	struct prefix prefix;
	if (!subject || subject->sessions == 0)
		return;
	side->live = true;
	side->peer = guard_peer(side->identity, &subject->facts);
	for (size_t i = 0; routes_at(routes, i, &prefix, &session); i++) {
		struct addr *own = prefix.addr.family == AF_INET ? &side->end.v4 : &side->end.v6;
		if (own->family == AF_UNSPEC && prefix.length == ADDR_BITS(&prefix.addr) &&
		    session->subject == subject)
			*own = prefix.addr;
	}
}

// Whose address it is, as packets to and from it are judged. Another family of the same peer is not meant.
static int find_owner(struct side *side, const struct engine *engine, const struct addr *addr)
{
	const struct routes *routes = dataplane_routes(engine_tunnel(engine)->dataplane);
	const struct session *session = route_lookup(routes, addr);
	const struct policy_end meant = side->end;
	if (!session || session->initiator)
		return 0;
	side->identity = strdup(session->identity);
	if (!side->identity)
		return -ENOMEM;
	side->peer.identity = side->end.identity = side->identity;
	find_session(side, engine, false);
	side->end.v4 = meant.v4;
	side->end.v6 = meant.v6;
	return 0;
}

static int read_side(const struct explain *explain, const struct engine *engine,
		     const json_t *request, const char *name, struct side *ret, struct error *error)
{
	const char *text = json_string_value(json_object_get(request, name));
	struct addr addr;
	if (!text)
		return error_set(error, EINVAL, "\"%s\" is missing", name);
	if (addr_parse(text, &addr) == 0) {
		*(addr.family == AF_INET ? &ret->end.v4 : &ret->end.v6) = addr;
		if (engine && find_owner(ret, engine, &addr) < 0)
			return error_set(error, ENOMEM, "out of memory");
		return 0;
	}
	int r = identity_parse(text, strlen(text), &ret->identity, error);
	if (r < 0)
		return r;
	ret->peer.identity = ret->end.identity = ret->identity;
	bool link = explain->question.program == FILTER_INBOUND && ret == &explain->from;
	if (engine)
		find_session(ret, engine, link);
	config_end_addresses(explain->config, &ret->end);
	return 0;
}

// What the command line says of the certificate of `from`, where no session says more.
static void read_facts(struct side *from, const json_t *request)
{
	from->unit[0] = json_string_value(json_object_get(request, "unit"));
	if (from->live)
		return;
	from->peer.issuer = json_string_value(json_object_get(request, "issuer"));
	from->peer.units = from->unit;
	from->peer.unit_count = from->unit[0] ? 1 : 0;
	from->peer.hardware = json_is_true(json_object_get(request, "hardware"));
}

// Addresses of one family, IPv4 where both have it; of a peer without any, the one that only rules for all networks match.
static int choose_family(struct explain *explain, struct error *error)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	struct side *sides[] = {&explain->from, &explain->to};
	for (unsigned i = 0; i < 2; i++) {
		bool fits = true;
		for (unsigned j = 0; j < 2; j++) {
			const struct policy_end *end = &sides[j]->end;
			sides[j]->addr = families[i] == AF_INET ? end->v4 : end->v6;
			fits &= sides[j]->addr.family == families[i] ||
				(end->v4.family == AF_UNSPEC && end->v6.family == AF_UNSPEC);
			sides[j]->addr.family = families[i];
		}
		if (fits)
			return 0;
	}
	return error_set(error, EINVAL, "one has IPv4 addresses only, the other one IPv6");
}

static int read_service(struct explain *explain, const json_t *request, struct error *error)
{
	struct rule_service parts[POLICY_SERVICE_PARTS];
	const char *text = json_string_value(json_object_get(request, "service"));
	int count = policy_service_parse(text ? text : "", parts, error);
	if (count < 0)
		return count;
	bool six = explain->from.addr.family == AF_INET6;
	const struct rule_service *part = six && count > 1 ? &parts[1] : &parts[0];
	explain->question.protocol = part->protocols[six && part->protocols[1] ? 1 : 0];
	explain->question.port = part->first;
	// "icmp" alone is a ping.
	if (part->first == 0 && part->last == UINT16_MAX)
		explain->question.port = explain->question.protocol == IPPROTO_ICMP	? 8 << 8
					 : explain->question.protocol == IPPROTO_ICMPV6 ? 128 << 8
											: 0;
	if (part->any_protocol || (part->first == 0 && part->last == UINT16_MAX &&
				   (explain->question.protocol == IPPROTO_TCP ||
				    explain->question.protocol == IPPROTO_UDP)))
		return error_set(error, EINVAL, "\"%s\" is many services", text),
		       error_expected(error, "one, such as \"tcp/443\" or \"icmp\"");
	return 0;
}

static bool is_known(const struct addr *addr)
{
	static const uint8_t unknown[16];
	return memcmp(addr->bytes, unknown, sizeof(unknown)) != 0;
}

static void find_own(struct explain *explain, const struct engine *engine)
{
	const struct addr *to = &explain->to.addr;
	explain->to_own = CONFIG_OWN_MAYBE;
	if (is_known(to) && engine)
		explain->to_own = apply_has_address(engine_tunnel(engine)->apply, to)
					  ? CONFIG_OWN_YES
					  : CONFIG_OWN_NO;
	else if (is_known(to))
		explain->to_own = config_end_own(explain->config, to);
	explain->question.beyond = explain->to_own == CONFIG_OWN_NO;
}

static int read_question(struct explain *explain, const struct engine *engine,
			 const json_t *request, struct error *error)
{
	const char *at = json_string_value(json_object_get(request, "at"));
	bool inbound = json_is_true(json_object_get(request, "inbound")) ||
		       (!explain->config->gateway.enabled && explain->config->link_count > 0);
	explain->question.program = inbound ? FILTER_INBOUND : FILTER_RULES;
	explain->at = clock_wall();
	if (at && when_moment(at, NULL, &explain->at) < 0)
		return error_set(error, EINVAL, "\"%.80s\" is no time", at),
		       error_expected(error, "a time such as \"2026-12-01 10:00\"");
	int r = read_side(explain, engine, request, "from", &explain->from, error);
	if (r == 0)
		r = read_side(explain, engine, request, "to", &explain->to, error);
	if (r == 0)
		r = choose_family(explain, error);
	if (r == 0)
		r = read_service(explain, request, error);
	if (r < 0)
		return r;
	find_own(explain, engine);
	read_facts(&explain->from, request);
	explain->question.from.peer = explain->from.identity ? &explain->from.peer : NULL;
	explain->question.to.peer = explain->to.identity ? &explain->to.peer : NULL;
	explain->question.from.addr = &explain->from.addr;
	explain->question.to.addr = &explain->to.addr;
	return 0;
}

// --- the answer

static json_t *rule_report(const struct explain *explain, uint32_t position)
{
	unsigned count;
	const struct rule *list = rules_of(explain->rules, explain->question.program, &count);
	if (position >= count)
		return json_null();
	const struct rule *rule = &list[position];
	return json_pack("{s:s?,s:s,s:s}", "name", rule->name, "place", rule->place, "kind",
			 rule->deny ? "deny" : "allow");
}

// Which word of a side matched, and which entry of it.
static json_t *word_report(const struct rules *rules, const struct rule_word *word, bool own)
{
	char name[POLICY_WORD_MAX], entry[POLICY_WORD_MAX] = "";
	snprintf(name, sizeof(name), own ? "this node itself" : "any");
	if (word->group != RULE_NONE) {
		policy_group_text(rules, word->group, name);
		policy_peer_text(&rules->groups[word->group].peers[word->peer], entry);
	} else if (word->net != RULE_NONE) {
		policy_net_text(rules, word->net, name);
		prefix_text(&rules->nets[word->net].prefixes[word->prefix], entry);
	}
	return json_pack("{s:s,s:s}", "word", name, "entry", entry);
}

// An address that nothing is known of is left out, and so is, of a file, whether there is a session.
static json_t *side_report(const struct side *side, bool running)
{
	char addr[ADDR_TEXT_MAX];
	json_t *object = json_pack("{s:s?,s:o}", "identity", side->identity, "connected",
				   running ? json_boolean(side->live) : json_null());
	if (is_known(&side->addr))
		json_object_set_new(object, "address", json_string(addr_text(&side->addr, addr)));
	json_t *units = json_array();
	for (unsigned i = 0; i < side->peer.unit_count; i++)
		json_array_append_new(units, json_string(side->peer.units[i]));
	json_object_set_new(object, "issuer",
			    side->peer.issuer ? json_string(side->peer.issuer) : json_null());
	json_object_set_new(object, "units", units);
	json_object_set_new(object, "hardware", json_boolean(side->peer.hardware));
	return object;
}

static const char *verdict_text(const struct filter_verdict *verdict)
{
	return verdict->allow ? "allow" : verdict->reject ? "reject" : "drop";
}

static json_t *near_report(const struct explain *explain, const struct policy_explanation *found)
{
	static const char *const words[] = {
		[MISS_FROM] = "from",
		[MISS_TO] = "to",
		[MISS_SERVICE] = "service",
		[MISS_TIME] = "time",
	};
	json_t *array = json_array();
	for (unsigned i = 0; i < found->near_count; i++) {
		json_t *rule = rule_report(explain, found->near[i].rule);
		json_object_set_new(rule, "differs", json_string(words[found->near[i].miss]));
		json_array_append_new(array, rule);
	}
	return array;
}

// Whether `to` is this node itself, which only some rules ask; null: it is not known.
static json_t *own_report(const struct explain *explain)
{
	return explain->to_own == CONFIG_OWN_MAYBE
		       ? json_null()
		       : json_boolean(explain->to_own == CONFIG_OWN_YES);
}

static json_t *answer(const struct explain *explain, const struct policy_explanation *found)
{
	const struct rule_service asked = {.protocols = {explain->question.protocol},
					   .first = explain->question.port,
					   .last = explain->question.port};
	char service[POLICY_SERVICE_TEXT_MAX], at[WHEN_TEXT_MAX];
	unsigned count;
	const struct rule *list = rules_of(explain->rules, explain->question.program, &count);
	json_t *object = json_pack(
		"{s:i,s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:s,s:o,s:o}", "schema", REPORT_SCHEMA,
		"verdict", verdict_text(&found->verdict), "program",
		explain->question.program == FILTER_INBOUND ? "inbound" : "rules", "service",
		policy_service_text(&asked, service), "at",
		when_text(explain->at, NULL, at, sizeof(at)), "from",
		side_report(&explain->from, explain->running), "to",
		side_report(&explain->to, explain->running), "to_own", own_report(explain), "rule",
		rule_report(explain, found->verdict.rule), "next_verdict",
		verdict_text(&found->next), "next_rule", rule_report(explain, found->next.rule),
		"near", near_report(explain, found));
	if (!object || found->verdict.rule >= count)
		return object;
	bool own = list[found->verdict.rule].own;
	json_object_set_new(object, "only_own", json_boolean(own));
	json_object_set_new(object, "from_matched",
			    word_report(explain->rules, &found->why.from, false));
	json_object_set_new(object, "to_matched", word_report(explain->rules, &found->why.to, own));
	json_object_set_new(
		object, "service_matched",
		json_string(policy_service_text(
			&list[found->verdict.rule].services[found->why.service], service)));
	return object;
}

json_t *report_explain(const struct config *config, const struct engine *engine,
		       const json_t *request, struct error *error)
{
	_cleanup_(explain_done) struct explain explain = {
		.config = config, .rules = config->policy.model, .running = engine != NULL};
	struct policy_explanation found;
	if (read_question(&explain, engine, request, error) < 0)
		return NULL;
	if (policy_explain(explain.rules, explain.at, &explain.question, &found) < 0) {
		error_set(error, ENOMEM, "out of memory");
		return NULL;
	}
	return answer(&explain, &found);
}
