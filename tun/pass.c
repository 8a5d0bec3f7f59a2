// SPDX-License-Identifier: Apache-2.0

#include "tun/pass.h"

#include <netinet/in.h>

#include "tun/flow_reset.h"
#include "tun/guard.h"
#include "tun/inner.h"
#include "tun/note.h"
#include "tun/session.h"
#include "tun/transport.h"
#include "tun/worker.h"

// What there is to know about one packet while it is judged.
struct judgement {
	struct worker *worker;
	struct flows *flows;
	struct pass *pass;
	const struct filter *filter;
	struct subject *from, *to;
	struct flow_key key;
	enum flow_way way;
	uint32_t now_s;
};

static struct subject *subject_of(const struct session *session)
{
	return session ? session->subject : NULL;
}

static uint16_t number_of(const struct subject *subject)
{
	return subject ? subject->number : 0;
}

// Of an ICMP answer, the query (RFC 792; RFC 4443, 4); what is none is found by its own type.
static uint8_t query_of(const struct inner *inner, enum flow_way *ret_way)
{
	static const uint8_t answers4[][2] = {{0, 8}, {14, 13}, {16, 15}, {18, 17}};
	*ret_way = FLOW_FIRST;
	for (unsigned i = 0; inner->protocol == IPPROTO_ICMP && i < 4; i++)
		if (inner->type == answers4[i][0]) {
			*ret_way = FLOW_REPLY;
			return answers4[i][1];
		}
	if (inner->protocol != IPPROTO_ICMPV6 || inner->type != 129)
		return inner->type;
	*ret_way = FLOW_REPLY;
	return 128;
}

static struct flow_key key_of(const struct inner *inner, const struct subject *from,
			      const struct subject *to, enum flow_way *ret_way)
{
	struct flow_key key = {
		.from = inner->source,
		.to = inner->destination,
		.from_port = inner->source_port,
		.to_port = inner->destination_port,
		.protocol = inner->protocol,
		.from_subject = number_of(from),
		.to_subject = number_of(to),
	};
	*ret_way = FLOW_EITHER;
	if (inner->protocol == IPPROTO_ICMP || inner->protocol == IPPROTO_ICMPV6)
		key.type = query_of(inner, ret_way);
	return key;
}

// Of an ICMP error, the flow of what it quotes: it comes from where that went, to where it came from (RFC 5508, 4.2).
static enum drop flow_of(const struct pass *pass, struct flow_key *ret, enum flow_way *ret_way)
{
	struct subject *from = subject_of(pass->from), *to = subject_of(pass->to);
	struct inner quote;
	if (!pass->inner->error) {
		*ret = key_of(pass->inner, from, to, ret_way);
		return DROP_NONE;
	}
	enum drop drop = inner_quote(pass->packet, pass->size, pass->inner, &quote);
	if (drop == DROP_NONE)
		*ret = key_of(&quote, to, from, ret_way);
	return drop;
}

// --- telling the control thread

static void tell(const struct judgement *judgement, enum note_type type, enum drop drop,
		 enum filter_program program, uint32_t rule)
{
	const struct pass *pass = judgement->pass;
	struct note note = {
		.type = (uint8_t)type,
		.drop = (uint8_t)drop,
		.program = (uint8_t)program,
		.outbound = !pass->from,
		.rule = rule,
		.generation = filter_generation(judgement->filter),
		.session_index = pass->from ? pass->from->index : pass->to->index,
		.key = judgement->key,
		.service = inner_service(pass->inner),
	};
	note_put(judgement->worker, &note);
}

static enum drop refuse(const struct judgement *judgement, enum drop drop,
			enum filter_program program, uint32_t rule)
{
	struct subject *subject = judgement->from ? judgement->from : judgement->to;
	atomic_fetch_add_explicit(&subject->denied, 1, memory_order_relaxed);
	tell(judgement, NOTE_DENIED, drop, program, rule);
	return drop;
}

// --- the flow before

static bool is_remembered(const struct pass_memory *memory, const struct pass *pass,
			  const struct filter *filter)
{
	const struct inner *inner = pass->inner;
	return memory->filter == filter && !inner->error && memory->from == pass->from &&
	       memory->to == pass->to && memory->service == inner_service(inner) &&
	       memory->key.protocol == inner->protocol &&
	       memory->key.from_port == inner->source_port &&
	       memory->key.to_port == inner->destination_port &&
	       addr_equal(&memory->key.from, &inner->source) &&
	       addr_equal(&memory->key.to, &inner->destination);
}

bool pass_knows(const struct worker *worker, const struct session *from, const struct inner *inner,
		struct session **ret_to)
{
	const struct pass_memory *memory = &worker->passes;
	if (!memory->filter || memory->from != from ||
	    !addr_equal(&memory->key.from, &inner->source) ||
	    !addr_equal(&memory->key.to, &inner->destination))
		return false;
	*ret_to = memory->to;
	return true;
}

void pass_flush(struct worker *worker)
{
	struct pass_memory *memory = &worker->passes;
	if (memory->filter && memory->packets) {
		flow_count(memory->flow, memory->reply, memory->packets, memory->bytes);
		if (memory->expected)
			flow_reset_expect(memory->flow, memory->reply, memory->expected);
	}
	memory->filter = NULL;
}

static void remember(const struct judgement *judgement, struct flow *flow, bool reply)
{
	pass_flush(judgement->worker);
	judgement->worker->passes = (struct pass_memory){
		.filter = judgement->filter,
		.from = judgement->pass->from,
		.to = judgement->pass->to,
		.key = judgement->key,
		.service = inner_service(judgement->pass->inner),
		.flow = flow,
		.reply = reply,
	};
}

// --- flows

// false: what rules now does not allow it any more.
static bool is_still_allowed(const struct judgement *judgement, struct flow *flow)
{
	uint32_t generation = guard_generation(judgement->filter, flow->from, flow->to);
	struct filter_verdict verdict;
	enum filter_program program;
	if (atomic_load_explicit(&flow->generation, memory_order_relaxed) == generation)
		return true;
	guard_judge_flow(judgement->filter, flow, &verdict, &program);
	if (verdict.allow)
		flow_judged(flow, generation, (uint8_t)program, verdict.rule);
	else
		flow_end(flow);
	return verdict.allow;
}

static struct flow *find(const struct judgement *judgement, bool *ret_reply)
{
	struct flow *flow = flow_find(judgement->flows, &judgement->key, judgement->way,
				      judgement->now_s, ret_reply);
	return flow && is_still_allowed(judgement, flow) ? flow : NULL;
}

// --- the filter

static unsigned programs_of(const struct pass *pass)
{
	bool inbound = pass->from && pass->from->initiator;
	bool rules = (pass->from && !pass->from->initiator) || (pass->to && !pass->to->initiator);
	return (inbound ? 1u << FILTER_INBOUND : 0) | (rules ? 1u << FILTER_RULES : 0);
}

static void ask(const struct judgement *judgement, unsigned programs, struct filter_verdict *ret,
		enum filter_program *ret_program)
{
	struct filter_question question = {
		.from = {.class = filter_class(judgement->filter, judgement->key.from_subject),
			 .addr = &judgement->key.from},
		.to = {.class = filter_class(judgement->filter, judgement->key.to_subject),
		       .addr = &judgement->key.to},
		.protocol = judgement->key.protocol,
		.port = inner_service(judgement->pass->inner),
	};
	guard_judge(judgement->filter, programs, &question, ret, ret_program);
}

// Towards peers a refusal is told, to the network only where a rule says so.
static bool wants_answer(const struct pass *pass, const struct filter_verdict *verdict)
{
	return verdict->reject && (pass->from || verdict->rule != FILTER_NO_RULE);
}

// A peer sends over its session: what comes to another one with its address from somewhere else is not its, and would be judged as if
// the address were nobody's.
static bool is_borrowed(const struct judgement *judgement)
{
	const struct pass *pass = judgement->pass;
	if (pass->from || pass->to->initiator)
		return false;
	const struct session *owner =
		route_lookup(dataplane_routes(judgement->worker->dataplane), &pass->inner->source);
	return owner && !owner->initiator;
}

static enum drop begin(const struct judgement *judgement)
{
	struct pass *pass = judgement->pass;
	unsigned programs = programs_of(pass);
	struct flow_start start = {
		.key = judgement->key,
		.from = judgement->from,
		.to = judgement->to,
		.own = programs == 0,
		.service = inner_service(pass->inner),
		.tcp_flags = pass->inner->tcp_flags,
		.programs = (uint8_t)programs,
		.generation = guard_generation(judgement->filter, judgement->from, judgement->to),
		.now_s = judgement->now_s,
	};
	struct filter_verdict verdict;
	enum filter_program program;
	struct flow *flow;
	if (is_borrowed(judgement))
		return refuse(judgement, DROP_SOURCE, FILTER_RULES, FILTER_NO_RULE);
	ask(judgement, programs, &verdict, &program);
	if (!verdict.allow) {
		pass->reject = wants_answer(pass, &verdict);
		return refuse(judgement, DROP_POLICY, program, verdict.rule);
	}
	start.program = (uint8_t)program;
	start.rule = verdict.rule;
	enum drop drop = judgement->way == FLOW_REPLY ? DROP_STATE
						      : flow_begin(judgement->flows, &start, &flow);
	if (drop != DROP_NONE)
		return refuse(judgement, drop, program, verdict.rule);
	if (verdict.log)
		tell(judgement, NOTE_BEGUN, DROP_NONE, program, verdict.rule);
	remember(judgement, flow, false);
	return DROP_NONE;
}

// --- all of it

static struct flow_segment segment_of(const struct pass *pass)
{
	const uint8_t *header = pass->packet + pass->inner->transport;
	return (struct flow_segment){
		.flags = pass->inner->tcp_flags,
		.sequence = get32(header + 4),
		.acknowledged = get32(header + 8),
	};
}

static bool is_believed(const struct pass *pass, const struct flow *flow, bool reply)
{
	struct flow_segment reset = segment_of(pass);
	return flow_reset_believed(flow, reply, &reset);
}

static enum flow_step step(const struct pass *pass, struct flow *flow, bool reply, uint32_t now_s)
{
	uint8_t flags = pass->inner->tcp_flags;
	if (flags & TCP_RST && !is_believed(pass, flow, reply))
		return FLOW_PASS;
	return flow_step(flow, reply, flags, now_s);
}

// What may not begin ends nothing: anybody could have made up what looks like the end of the connection before it.
static enum drop begin_again(const struct judgement *judgement, struct flow *before)
{
	enum drop drop = begin(judgement);
	if (drop == DROP_NONE)
		flow_end(before);
	return drop;
}

static enum drop judge_by_flow(const struct judgement *judgement)
{
	bool reply;
	struct flow *flow = find(judgement, &reply);
	// The code of an ICMP message is not in its key.
	if (!flow || (!reply && flow->service != inner_service(judgement->pass->inner)))
		return begin(judgement);
	switch (step(judgement->pass, flow, reply, judgement->now_s)) {
	case FLOW_PASS:
		remember(judgement, flow, reply);
		return DROP_NONE;
	case FLOW_BAD:
		return DROP_STATE;
	case FLOW_AGAIN:
		break;
	}
	return begin_again(judgement, flow);
}

static struct judgement judgement_of(struct worker *worker, struct pass *pass,
				     const struct filter *filter)
{
	return (struct judgement){
		.worker = worker,
		.flows = dataplane_guard(worker->dataplane)->flows,
		.pass = pass,
		.filter = filter,
		.from = subject_of(pass->from),
		.to = subject_of(pass->to),
		.now_s = (uint32_t)(worker->now_ms / 1000),
	};
}

static enum drop judge(struct worker *worker, struct pass *pass, const struct filter *filter)
{
	struct judgement judgement = judgement_of(worker, pass, filter);
	enum drop drop = flow_of(pass, &judgement.key, &judgement.way);
	bool reply;
	if (drop != DROP_NONE)
		return drop;
	if (pass->inner->error)
		return find(&judgement, &reply) ? DROP_NONE : DROP_QUOTE;
	return judge_by_flow(&judgement);
}

// What an RST says itself is not known to be so.
static void follow(struct pass_memory *memory, const struct pass *pass)
{
	const uint8_t *header = pass->packet + pass->inner->transport;
	uint8_t flags = pass->inner->tcp_flags;
	if (flags & TCP_RST)
		return;
	if (flags & TCP_ACK)
		memory->expected = get32(header + 8);
	else if (flags & TCP_SYN)
		memory->expected = get32(header + 4) + 1;
}

static enum drop judge_whole(struct worker *worker, struct pass *pass, const struct filter *filter)
{
	struct pass_memory *memory = &worker->passes;
	const struct inner *inner = pass->inner;
	uint32_t now_s = (uint32_t)(worker->now_ms / 1000);
	if (!is_remembered(memory, pass, filter) ||
	    step(pass, memory->flow, memory->reply, now_s) != FLOW_PASS) {
		enum drop drop = judge(worker, pass, filter);
		if (drop != DROP_NONE || inner->error)
			return drop;
	}
	memory->packets += pass->packets;
	memory->bytes += pass->size;
	if (inner->tcp_flags)
		follow(memory, pass);
	return DROP_NONE;
}

// --- fragments

static unsigned payer_of(const struct pass *pass)
{
	return number_of(subject_of(pass->from ? pass->from : pass->to));
}

// `drop`: what the policy says of it.
static enum drop take_first(struct worker *worker, struct pass *pass, enum drop drop)
{
	struct fragments *fragments = dataplane_guard(worker->dataplane)->fragments;
	struct flow_key key = {0};
	enum flow_way way;
	flow_of(pass, &key, &way);
	return fragment_first(fragments, payer_of(pass), pass->inner, &key, drop, worker->now_ms);
}

// Addresses may have other owners by now.
static bool is_between(const struct flow_key *key, unsigned from, unsigned to)
{
	return (key->from_subject == from && key->to_subject == to) ||
	       (key->from_subject == to && key->to_subject == from);
}

// What let the first one pass must still do so: a policy may have come in between, or another certificate.
static enum drop judge_later(struct worker *worker, struct pass *pass, const struct filter *filter)
{
	struct fragments *fragments = dataplane_guard(worker->dataplane)->fragments;
	struct judgement judgement = judgement_of(worker, pass, filter);
	bool reply;
	enum drop drop = fragment_later(fragments, payer_of(pass), pass->inner, worker->now_ms,
					&judgement.key);
	if (drop != DROP_NONE)
		return drop;
	bool same = is_between(&judgement.key, number_of(judgement.from), number_of(judgement.to));
	judgement.way = FLOW_EITHER;
	return same && find(&judgement, &reply) ? DROP_NONE : DROP_FRAGMENT;
}

enum drop pass_judge(struct worker *worker, struct pass *pass)
{
	struct guard *guard = dataplane_guard(worker->dataplane);
	const struct filter *filter = atomic_load_explicit(&guard->filter, memory_order_acquire);
	pass->ruled = filter;
	pass->reject = false;
	if (!filter)
		return DROP_NONE;
	if (pass->from == pass->to)
		return DROP_ROUTE;
	if (pass->inner->part == INNER_LATER)
		return judge_later(worker, pass, filter);
	enum drop drop = judge_whole(worker, pass, filter);
	return pass->inner->part == INNER_FIRST ? take_first(worker, pass, drop) : drop;
}
