// SPDX-License-Identifier: Apache-2.0

#include "tun/trace.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "tun/flow.h"
#include "tun/guard.h"
#include "tun/note.h"
#include "tun/session.h"

static const char *const stage_names[] = {
	[TRACE_RECEIVED] = "received", [TRACE_OPENED] = "opened", [TRACE_PARSED] = "parsed",
	[TRACE_SOURCE] = "source",     [TRACE_ROUTED] = "routed", [TRACE_JUDGED] = "judged",
	[TRACE_SENT] = "sent",
};
_Static_assert(sizeof(stage_names) / sizeof(stage_names[0]) == TRACE_STAGES, "a stage has no name");

const char *trace_stage_name(enum trace_stage stage)
{
	return stage_names[stage];
}

enum trace_stage trace_stage_of(enum drop drop)
{
	switch (drop) {
	case DROP_SHORT:
	case DROP_TYPE:
	case DROP_INDEX:
	case DROP_QUEUE:
		return TRACE_RECEIVED;
	case DROP_EPOCH:
	case DROP_LANE:
	case DROP_REPLAY:
	case DROP_TAG:
		return TRACE_OPENED;
	case DROP_MALFORMED:
	case DROP_ADDRESS:
	case DROP_MULTICAST:
	case DROP_OPTIONS:
	case DROP_EXTENSION:
	case DROP_PROTOCOL:
	case DROP_FRAGMENT:
	case DROP_OVERLAP:
		return TRACE_PARSED;
	case DROP_SOURCE:
		return TRACE_SOURCE;
	case DROP_ROUTE:
		return TRACE_ROUTED;
	case DROP_POLICY:
	case DROP_FLOWS:
	case DROP_STATE:
	case DROP_QUOTE:
		return TRACE_JUDGED;
	case DROP_NONE:
	case DROP_LIMIT:
	case DROP_KEYS:
	case DROP_PATH:
	case DROP_SIZE:
	case DROP_SEND:
	case DROP_DEVICE:
	case DROP_CONGESTION:
	case DROP_TTL:
	case DROP_RATE:
	case DROP_CHANNEL:
		return TRACE_SENT;
	}
	return TRACE_SENT;
}

struct trace *trace_new(struct selection *selection, unsigned count)
{
	struct trace *trace = calloc(1, sizeof(*trace));
	if (!trace)
		return NULL;
	trace->selection = *selection;
	*selection = (struct selection){0};
	atomic_init(&trace->left, count);
	return trace;
}

struct trace *trace_free(struct trace *trace)
{
	if (trace)
		selection_done(&trace->selection);
	free(trace);
	return NULL;
}

static const char *identity_of(const struct session *session)
{
	return session ? session->identity : NULL;
}

static uint16_t subject_of(const struct session *session)
{
	return session && session->subject ? session->subject->number : 0;
}

static struct flow_key key_of(const struct trace_packet *packet)
{
	struct flow_key key = {
		.from_subject = subject_of(packet->from),
		.to_subject = subject_of(packet->to),
	};
	if (!packet->inner)
		return key;
	key.from = packet->inner->source;
	key.to = packet->inner->destination;
	key.from_port = packet->inner->source_port;
	key.to_port = packet->inner->destination_port;
	key.protocol = packet->inner->protocol;
	return key;
}

// Also what comes back.
static bool matches(const struct selection *selection, const struct flow_key *key, uint16_t service,
		    const struct trace_packet *packet)
{
	const char *from = identity_of(packet->from), *to = identity_of(packet->to);
	struct flow_key back = *key;
	back.from = key->to;
	back.to = key->from;
	return selection_matches(selection, key, service, from, to) ||
	       selection_matches(selection, &back, key->from_port, to, from);
}

// The flow that the packet went by is the one that the worker has in hand.
static void note_flow(const struct worker *worker, struct note *note)
{
	const struct pass_memory *memory = &worker->passes;
	const struct flow *flow = memory->filter ? memory->flow : NULL;
	if (!flow)
		return;
	note->generation = filter_generation(memory->filter);
	note->rule = atomic_load_explicit(&flow->rule, memory_order_relaxed);
	note->program = flow_program(flow);
	note->hit = memory->reply || memory->packets > 1 ||
		    atomic_load_explicit(&flow->packets[0], memory_order_relaxed) > 0;
}

// Who refused it: asked again, since that is seldom.
static void note_refusal(const struct worker *worker, const struct trace_packet *packet,
			 struct note *note)
{
	const struct guard *guard = dataplane_guard(worker->dataplane);
	const struct filter *filter = atomic_load_explicit(&guard->filter, memory_order_acquire);
	bool link = packet->from && packet->from->initiator;
	bool to_peer = packet->to && !packet->to->initiator && !link;
	if (!filter)
		return;
	struct filter_question question = {
		.from = {filter_class(filter, note->key.from_subject), &note->key.from},
		.to = {filter_class(filter, to_peer ? note->key.to_subject : 0), &note->key.to},
		.protocol = note->key.protocol,
		.port = note->service,
	};
	struct filter_verdict verdict;
	enum filter_program program;
	guard_judge(filter, 1u << (link ? FILTER_INBOUND : FILTER_RULES), &question, &verdict,
		    &program);
	note->generation = filter_generation(filter);
	note->program = (uint8_t)program;
	note->rule = verdict.rule;
}

static bool take_one(struct trace *trace)
{
	unsigned left = atomic_load_explicit(&trace->left, memory_order_relaxed);
	while (left > 0 && !atomic_compare_exchange_weak(&trace->left, &left, left - 1))
		continue;
	return left > 0;
}

void trace_note(struct worker *worker, struct trace *trace, const struct trace_packet *packet)
{
	struct note note = {
		.type = NOTE_TRACED,
		.drop = (uint8_t)packet->drop,
		.stage = (uint8_t)trace_stage_of(packet->drop),
		.outbound = !packet->from,
		.read = packet->inner,
		.rule = FILTER_NO_RULE,
		.key = key_of(packet),
		.service = packet->inner ? inner_service(packet->inner) : 0,
		.size = (uint32_t)packet->size,
	};
	const struct session *session = packet->from ? packet->from : packet->to;
	if (session)
		note.session_index = session->index;
	if (!matches(&trace->selection, &note.key, note.service, packet) || !take_one(trace))
		return;
	if (note.stage > TRACE_JUDGED)
		note_flow(worker, &note);
	if (note.drop == DROP_POLICY)
		note_refusal(worker, packet, &note);
	note_put(worker, &note);
}
