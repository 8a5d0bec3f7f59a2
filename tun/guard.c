// SPDX-License-Identifier: Apache-2.0

#include "tun/guard.h"

#include <errno.h>

#include "base/clock.h"
#include "base/rcu.h"
#include "tun/lpm.h"

#define ROUND_SLICES  16u // in which the table of flows is swept once
#define SLICE_PARTS   32u
#define SLICE_NS      UINT64_C(4000000)
#define TRIAL_BUCKETS 256u

int guard_init(struct guard *guard)
{
	guard->subjects = subjects_new();
	guard->flows = guard->subjects ? flows_new(guard->subjects) : NULL;
	guard->fragments = fragments_new();
	return guard->flows && guard->fragments ? 0 : -ENOMEM;
}

void guard_done(struct guard *guard)
{
	guard->fragments = fragments_free(guard->fragments);
	guard->flows = flows_free(guard->flows);
	guard->subjects = subjects_free(guard->subjects);
	filter_free(atomic_exchange(&guard->filter, NULL));
	lpm_free(atomic_exchange(&guard->own, NULL));
}

// Only what comes over a link is judged by whose address it goes to. Nobody judges by those of before any more.
static void judge_links_again(const struct guard *guard)
{
	struct subject *subject;
	size_t cursor = 0;
	while ((subject = subjects_next(guard->subjects, &cursor)))
		if (subject->link)
			atomic_fetch_add(&subject->generation, 1);
}

int guard_set_own(struct guard *guard, const struct addr *addresses, unsigned count)
{
	struct lpm *own = lpm_new(count);
	if (!own)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++) {
		struct prefix alone = prefix_of(&addresses[i]);
		lpm_add(own, &alone, guard);
	}
	struct lpm *old = atomic_exchange(&guard->own, own);
	rcu_wait();
	lpm_free(old);
	judge_links_again(guard);
	return 0;
}

// --- classes

struct filter_peer guard_peer(const char *identity, const struct facts *facts)
{
	return (struct filter_peer){
		.identity = identity,
		.issuer = facts->issuer,
		.units = (const char *const *)facts->units,
		.unit_count = facts->unit_count,
		.hardware = facts->hardware,
	};
}

static int set_class(struct filter *filter, const struct subject *subject,
		     const struct facts *facts)
{
	struct filter_peer peer = guard_peer(subject->identity, facts);
	const struct filter_class *class = filter_class_of(filter, &peer);
	if (!class)
		return -ENOMEM;
	filter_set_class(filter, subject->number, class);
	return 0;
}

static int classify_all(const struct guard *guard, struct filter *filter)
{
	// What was prepared has been told who came and what changed since.
	bool prepared = guard->next == filter && guard->prepared == SUBJECTS_MAX;
	struct subject *subject;
	size_t cursor = 0;
	while ((subject = subjects_next(guard->subjects, &cursor))) {
		if (prepared && filter_class(filter, subject->number))
			continue;
		int r = set_class(filter, subject, &subject->facts);
		if (r < 0)
			return r;
	}
	return 0;
}

// A few milliseconds of it, from this number on. 1: that was all.
static int classify_some(const struct guard *guard, struct filter *filter, unsigned *number)
{
	uint64_t begun_ns = clock_ns();
	while (*number < SUBJECTS_MAX && clock_ns() - begun_ns < SLICE_NS) {
		const struct subject *subject = subject_at(guard->subjects, *number);
		int r = subject ? set_class(filter, subject, &subject->facts) : 0;
		if (r < 0)
			return r;
		++*number;
	}
	return *number == SUBJECTS_MAX;
}

// In what rules, and in what will.
static int set_classes(const struct guard *guard, const struct subject *subject,
		       const struct facts *facts)
{
	struct filter *filter = atomic_load(&guard->filter);
	int r = filter ? set_class(filter, subject, facts) : 0;
	return r == 0 && guard->next ? set_class(guard->next, subject, facts) : r;
}

int guard_prepare(struct guard *guard, struct filter *filter)
{
	if (guard->next != filter)
		guard->prepared = 0;
	guard->next = filter;
	return filter ? classify_some(guard, filter, &guard->prepared) : 1;
}

static bool keep_none(struct flow *flow, void *data)
{
	(void)flow;
	(void)data;
	return false;
}

int guard_set_filter(struct guard *guard, struct filter *filter)
{
	struct flow_sweep all = {.keep = keep_none};
	int r = filter ? classify_all(guard, filter) : 0;
	if (r < 0)
		return r;
	guard->next = NULL;
	if (filter) {
		filter_set_own(filter, &guard->own);
		filter_follow(filter, atomic_load(&guard->filter));
	}
	struct filter *old = atomic_exchange(&guard->filter, filter);
	rcu_wait();
	filter_free(old);
	// The generations of the next one begin anew.
	while (!filter && old && !flows_sweep(guard->flows, &all))
		continue;
	return 0;
}

// --- peers

int guard_admit(struct guard *guard, const char *identity, bool link, struct subject **ret)
{
	struct subject *subject;
	int r = subject_get(guard->subjects, identity, link, &subject);
	if (r < 0)
		return r;
	// Its number may have been another's: the class is set in any case.
	r = set_classes(guard, subject, &subject->facts);
	if (r < 0) {
		guard_leave(guard, subject);
		return r;
	}
	*ret = subject;
	return 0;
}

void guard_leave(struct guard *guard, struct subject *subject)
{
	subject_put(guard->subjects, subject, clock_ms() / 1000);
}

int guard_set_facts(struct guard *guard, struct subject *subject, const X509 *certificate)
{
	struct facts facts;
	int r = facts_read(certificate, &facts);
	if (r < 0)
		return r;
	r = set_classes(guard, subject, &facts);
	if (r < 0) {
		facts_done(&facts);
		return r;
	}
	if (subject_set_facts(subject, &facts))
		atomic_fetch_add(&subject->generation, 1);
	return 0;
}

// --- flows

static uint32_t generation_of(const struct subject *subject)
{
	return subject ? atomic_load_explicit(&subject->generation, memory_order_acquire) : 0;
}

uint32_t guard_generation(const struct filter *filter, const struct subject *from,
			  const struct subject *to)
{
	return filter_generation(filter) + generation_of(from) + generation_of(to);
}

void guard_judge(const struct filter *filter, unsigned programs, struct filter_question *question,
		 struct filter_verdict *ret, enum filter_program *ret_program)
{
	static const enum filter_program order[] = {FILTER_INBOUND, FILTER_RULES};
	bool log = false;
	*ret = (struct filter_verdict){.allow = true, .rule = FILTER_NO_RULE};
	*ret_program = FILTER_RULES;
	for (unsigned i = 0; i < FILTER_PROGRAMS && ret->allow; i++) {
		if (!(programs >> order[i] & 1))
			continue;
		question->program = *ret_program = order[i];
		filter_judge(filter, question, ret);
		log |= ret->log;
	}
	ret->log = log;
}

void guard_judge_flow(const struct filter *filter, const struct flow *flow,
		      struct filter_verdict *ret, enum filter_program *ret_program)
{
	const struct flow_key *key = &flow->key;
	struct filter_question question = {
		.from = {.class = filter_class(filter, key->from_subject), .addr = &key->from},
		.to = {.class = filter_class(filter, key->to_subject), .addr = &key->to},
		.protocol = key->protocol,
		.port = flow->service,
	};
	guard_judge(filter, flow_programs(flow), &question, ret, ret_program);
}

// Only what an older generation let begin. What another worker does with it meanwhile is the same.
static bool keep_allowed(struct flow *flow, void *data)
{
	const struct filter *filter = data;
	uint32_t generation = guard_generation(filter, flow->from, flow->to);
	struct filter_verdict verdict;
	enum filter_program program;
	if (atomic_load_explicit(&flow->generation, memory_order_relaxed) == generation)
		return true;
	guard_judge_flow(filter, flow, &verdict, &program);
	if (verdict.allow)
		flow_judged(flow, generation, (uint8_t)program, verdict.rule);
	return verdict.allow;
}

static void try_flow(const struct flow *flow, void *data)
{
	struct guard_trial *trial = data;
	struct filter_verdict verdict;
	enum filter_program program;
	guard_judge_flow(trial->filter, flow, &verdict, &program);
	if (verdict.allow) {
		trial->kept++;
		return;
	}
	trial->cut++;
	if (trial->each)
		trial->each(flow, trial->data);
}

bool guard_try(const struct guard *guard, struct guard_trial *trial)
{
	uint32_t now_s = (uint32_t)(clock_ms() / 1000);
	if (trial->classified < SUBJECTS_MAX) {
		filter_set_own(trial->filter, &guard->own);
		trial->failed = classify_some(guard, trial->filter, &trial->classified) < 0;
		return !trial->failed;
	}
	uint64_t begun_ns = clock_ns();
	bool left = true;
	while (left && clock_ns() - begun_ns < SLICE_NS)
		left = flows_each(guard->flows, &trial->cursor, TRIAL_BUCKETS, now_s, try_flow,
				  trial);
	return left;
}

void guard_tend(struct guard *guard)
{
	struct filter *filter = atomic_load(&guard->filter);
	struct flow_sweep part = {
		.now_s = (uint32_t)(clock_ms() / 1000),
		.buckets = FLOWS_BUCKETS / ROUND_SLICES / SLICE_PARTS,
		.keep = filter ? keep_allowed : NULL,
		.data = filter,
	};
	uint64_t begun_ns = clock_ns();
	bool round = false;
	if (!guard->flows || // half built
	    (flows_count(guard->flows) == 0 &&
	     subjects_count(guard->subjects) == subjects_present(guard->subjects)))
		return;
	for (unsigned i = 0; i < SLICE_PARTS && clock_ns() - begun_ns < SLICE_NS; i++)
		round |= flows_sweep(guard->flows, &part);
	if (round)
		subjects_collect(guard->subjects);
}
