// SPDX-License-Identifier: Apache-2.0

#include "daemon/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "base/error.h"
#include "client/apply.h"
#include "daemon/client_role.h"
#include "daemon/config.h"
#include "daemon/credentials.h"
#include "daemon/engine_state.h"
#include "daemon/feed.h"
#include "daemon/gateway_role.h"
#include "daemon/policy_role.h"
#include "server/admit.h"
#include "server/policy_service.h"
#include "server/policy_words.h"
#include "tun/dataplane.h"
#include "tun/flow.h"
#include "tun/guard.h"
#include "tun/rule.h"
#include "tun/session.h"
#include "tun/subject.h"

#define PLANS_MAX 4u // whose files are being read, a reload among them

struct plan {
	struct engine *engine;
	struct draft *draft; // what the reload would take
	struct feed *feed;
	struct comparison comparison; // of the sessions
	bool compared;
	struct guard_trial trial; // of the flows
	unsigned listed;	  // of those that would be cut
	unsigned sessions, changes[GRANT_ENDED + 1];
	unsigned gained, lost;
	unsigned proofs; // sessions that have to prove their identity again
	unsigned links;	 // that change
};

static struct plan *plan_free(struct plan *plan)
{
	if (!plan)
		return NULL;
	comparison_done(&plan->comparison);
	draft_free(plan->draft);
	free(plan);
	return NULL;
}
DEFINE_CLEANUP(struct plan *, plan_free);

static void on_gone(void *data)
{
	plan_free(data);
}

// --- sessions and links

static void on_session(const struct session *session, const struct grant_difference *difference,
		       void *data)
{
	static const char *const words[] = {
		[GRANT_SAME] = "routes",
		[GRANT_TOLD] = "told",
		[GRANT_MOVED] = "moves",
		[GRANT_ENDED] = "ends",
	};
	struct plan *plan = data;
	bool routes = difference->gained || difference->lost;
	plan->sessions++;
	plan->gained += difference->gained;
	plan->lost += difference->lost;
	if (++plan->changes[difference->change] > PLAN_LIST_MAX ||
	    (difference->change == GRANT_SAME && !routes))
		return;
	feed_put(plan->feed,
		 json_pack("{s:{s:s,s:s,s:i,s:i}}", "session", "identity", session->identity,
			   "change", words[difference->change], "gained", (int)difference->gained,
			   "lost", (int)difference->lost));
}

static void on_link(const char *name, enum link_change change, void *data)
{
	static const char *const words[] = {
		[LINK_BEGUN] = "begins",
		[LINK_ANEW] = "anew",
		[LINK_ENDED] = "ends",
	};
	struct plan *plan = data;
	if (change == LINK_KEPT)
		return;
	plan->links++;
	feed_put(plan->feed,
		 json_pack("{s:{s:s,s:s}}", "link", "name", name, "change", words[change]));
}

static unsigned up_links(const struct engine *engine)
{
	struct initiator_status status;
	struct initiator *link;
	unsigned count = 0;
	for (unsigned i = 0; (link = client_role_link(engine->client_role, i)); i++) {
		initiator_status(link, &status);
		count += status.session != NULL;
	}
	return count;
}

static int compare_roles(struct plan *plan)
{
	const struct engine *engine = plan->engine;
	const struct config *config = plan->draft->config;
	plan->comparison = (struct comparison){.each = on_session, .data = plan};
	gateway_role_compare(engine->gateway_role, config, take(plan->draft->terms),
			     &plan->comparison);
	return client_role_compare(engine->client_role, config, on_link, plan);
}

static void count_proofs(struct plan *plan)
{
	const struct engine *engine = plan->engine;
	if (credentials_differ(engine->credentials, &plan->draft->config->node))
		plan->proofs = plan->sessions - plan->changes[GRANT_ENDED] + up_links(engine);
}

// --- policy and flows

static void compare_policy(struct plan *plan)
{
	const struct rules *rules = plan->draft->config->policy.model;
	const char *digest = plan->draft->policy.digest;
	struct policy_status now = policy_role_status(plan->engine->policy_role);
	feed_put(plan->feed,
		 json_pack("{s:{s:[i,i],s:[i,i],s:[s,s],s:b}}", "policy", "rules", (int)now.rules,
			   (int)rules->rule_count, "inbound", (int)now.inbound,
			   (int)rules->inbound_count, "digest", now.digest, digest, "changes",
			   strcmp(now.digest, digest) != 0));
}

static void put_reach(struct plan *plan)
{
	json_t *change;
	size_t i;
	json_array_foreach (plan->draft->reach.changes, i, change)
		feed_put(plan->feed, json_pack("{s:O}", "reach", change));
}

static const char *end_text(const struct subject *subject, const struct addr *addr,
			    char text[ADDR_TEXT_MAX])
{
	return subject ? subject->identity : addr_text(addr, text);
}

static json_t *rule_text(const struct plan *plan, enum filter_program program, uint32_t rule)
{
	const struct rules *rules = plan->draft->config->policy.model;
	char text[POLICY_WORD_MAX];
	if (rule == FILTER_NO_RULE)
		return json_null();
	return json_string(policy_rule_text(
		program == FILTER_RULES ? &rules->rules[rule] : &rules->inbound[rule], text));
}

static void on_cut(const struct flow *flow, void *data)
{
	struct plan *plan = data;
	const struct flow_key *key = &flow->key;
	const struct rule_service service = {
		.protocols = {key->protocol},
		.first = flow->service,
		.last = flow->service,
	};
	struct filter_verdict verdict;
	enum filter_program program;
	char from[ADDR_TEXT_MAX];
	char to[ADDR_TEXT_MAX];
	char address[ADDR_TEXT_MAX];
	char text[POLICY_SERVICE_TEXT_MAX];
	if (plan->listed++ >= PLAN_LIST_MAX)
		return;
	guard_judge_flow(plan->draft->policy.filter, flow, &verdict, &program);
	feed_put(plan->feed, json_pack("{s:{s:s,s:s,s:s,s:s,s:o}}", "flow", "from",
				       end_text(flow->from, &key->from, from), "to",
				       end_text(flow->to, &key->to, to), "address",
				       addr_text(&key->to, address), "service",
				       policy_service_text(&service, text), "rule",
				       rule_text(plan, program, verdict.rule)));
}

static void put_sum(const struct plan *plan)
{
	feed_put(plan->feed,
		 json_pack("{s:{s:i,s:b,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:I,s:I}}", "sum", "reach",
			   (int)plan->draft->reach.count, "reach_complete", !plan->draft->reach.cut,
			   "sessions", (int)plan->sessions, "ends", (int)plan->changes[GRANT_ENDED],
			   "moves", (int)plan->changes[GRANT_MOVED], "told",
			   (int)plan->changes[GRANT_TOLD], "proofs", (int)plan->proofs,
			   "routes_gained", (int)plan->gained, "routes_lost", (int)plan->lost,
			   "links", (int)plan->links, "flows",
			   (json_int_t)plan->trial.kept + (json_int_t)plan->trial.cut, "cut",
			   (json_int_t)plan->trial.cut));
}

static bool more(struct feed *feed, void *data)
{
	struct plan *plan = data;
	if (!plan->compared) {
		plan->compared = !comparison_go_on(&plan->comparison);
		return true;
	}
	if (guard_try(dataplane_guard(plan->engine->tunnel.dataplane), &plan->trial))
		return true;
	if (plan->trial.failed) {
		feed_end(feed);
		return true;
	}
	count_proofs(plan);
	put_sum(plan);
	return false;
}

// --- begin

static void on_draft(struct draft *draft, void *data)
{
	struct plan *plan = data;
	struct error error = draft->error;
	if (error.code == 0)
		config_reloadable(plan->engine->config, draft->config, &error);
	if (error.code) {
		feed_answer(plan->feed, NULL, &error);
		return;
	}
	plan->trial = (struct guard_trial){
		.filter = draft->policy.filter,
		.each = on_cut,
		.data = plan,
	};
	feed_begin(plan->feed, more);
	compare_policy(plan);
	put_reach(plan);
	if (compare_roles(plan) < 0)
		feed_end(plan->feed);
}

int plan_open(struct engine *engine, struct feed *feed, struct error *error)
{
	if (engine->drafts.count >= PLANS_MAX) {
		error_set(error, EBUSY, "%u plans are being made already", PLANS_MAX);
		return error_remedy(error, "wait for one of them");
	}
	_cleanup_(plan_freep) struct plan *plan = calloc(1, sizeof(*plan));
	if (!plan)
		return error_set(error, ENOMEM, "out of memory");
	plan->engine = engine;
	plan->feed = feed;
	unsigned own_count;
	_cleanup_(freep) struct addr *own = apply_addresses(engine->tunnel.apply, &own_count);
	if (!own)
		return error_set(error, ENOMEM, "out of memory");
	const struct draft_wish wish = {
		.path = engine->path,
		.before = engine->config,
		.most = PLAN_LIST_MAX,
		.own = own,
		.own_count = own_count,
		.done = on_draft,
		.data = plan,
	};
	int r = draft_new(engine->event, &engine->drafts, &wish, &plan->draft, error);
	if (r == 0)
		feed_later(feed, on_gone, take(plan));
	return r;
}
