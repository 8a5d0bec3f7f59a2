// SPDX-License-Identifier: Apache-2.0

#include "tun/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/rcu.h"
#include "tun/subject.h"

#define FLOW_ALIGN 64u // a cache line
#define FLOW_ROOM  ((sizeof(struct flow) + FLOW_ALIGN - 1) / FLOW_ALIGN * FLOW_ALIGN)
#define LINGER_S   3600u // a peer that has no session keeps its flows for so long

struct flows {
	const struct subjects *subjects;
	uint64_t secret[4];
	_Atomic unsigned each, total;
	_Atomic unsigned count;
	unsigned bucket; // that the sweep looks at next
	bool crowded;	 // the round before did not take enough away
	_Atomic(struct flow *) buckets[FLOWS_BUCKETS];
};

// --- life

struct flows *flows_new(const struct subjects *subjects)
{
	struct flows *flows = calloc(1, sizeof(*flows));
	if (!flows)
		return NULL;
	flows->subjects = subjects;
	atomic_init(&flows->each, FLOWS_EACH);
	atomic_init(&flows->total, FLOWS_TOTAL);
	if (getrandom(flows->secret, sizeof(flows->secret), 0) == sizeof(flows->secret))
		return flows;
	free(flows);
	return NULL;
}

static void name(struct subject *subject, int by)
{
	if (subject)
		atomic_fetch_add_explicit(&subject->named, (unsigned)by, memory_order_relaxed);
}

static void count_one_less(struct flows *flows, struct subject *payer)
{
	atomic_fetch_sub_explicit(&flows->count, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&payer->flows, 1, memory_order_relaxed);
}

// It does not count any more.
static void forget(struct flow *flow)
{
	name(flow->from, -1);
	name(flow->to, -1);
	free(flow);
}

struct flows *flows_free(struct flows *flows)
{
	if (!flows)
		return NULL;
	for (size_t i = 0; i < FLOWS_BUCKETS && atomic_load(&flows->count); i++) {
		struct flow *flow = atomic_load(&flows->buckets[i]);
		while (flow) {
			struct flow *next = atomic_load(&flow->next);
			count_one_less(flows, flow_payer(flow));
			forget(flow);
			flow = next;
		}
	}
	free(flows);
	return NULL;
}

void flows_set_limits(struct flows *flows, const struct flow_limits *limits)
{
	atomic_store_explicit(&flows->each, limits->each, memory_order_relaxed);
	atomic_store_explicit(&flows->total, limits->total, memory_order_relaxed);
}

struct flow_limits flows_limits(const struct flows *flows)
{
	return (struct flow_limits){
		.each = atomic_load_explicit(&flows->each, memory_order_relaxed),
		.total = atomic_load_explicit(&flows->total, memory_order_relaxed),
	};
}

size_t flows_count(const struct flows *flows)
{
	return atomic_load_explicit(&flows->count, memory_order_relaxed);
}

// --- looking up

static uint64_t fold(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

// Under a random secret, as wyhash does (Wang Yi 2019): nobody can aim at a bucket.
static uint64_t hash_end(const struct flows *flows, const struct addr *addr, uint16_t port,
			 unsigned subject, const struct flow_key *key)
{
	uint64_t words[2];
	uint64_t rest = (uint64_t)subject << 32 | (uint64_t)port << 16 | (uint64_t)key->type << 8 |
			key->protocol;
	memcpy(words, addr->bytes, sizeof(words));
	uint64_t hash = fold(words[0] ^ flows->secret[0], words[1] ^ flows->secret[1]);
	return fold(hash ^ flows->secret[2], rest ^ flows->secret[3]);
}

// The same for both directions.
static _Atomic(struct flow *) *bucket_of(struct flows *flows, const struct flow_key *key)
{
	uint64_t hash = hash_end(flows, &key->from, key->from_port, key->from_subject, key) +
			hash_end(flows, &key->to, key->to_port, key->to_subject, key);
	return &flows->buckets[(hash ^ hash >> 32) % FLOWS_BUCKETS];
}

static bool same_way(const struct flow_key *a, const struct flow_key *b)
{
	return a->from_port == b->from_port && a->to_port == b->to_port &&
	       a->protocol == b->protocol && a->type == b->type &&
	       a->from_subject == b->from_subject && a->to_subject == b->to_subject &&
	       addr_equal(&a->from, &b->from) && addr_equal(&a->to, &b->to);
}

static bool other_way(const struct flow_key *a, const struct flow_key *b)
{
	return a->from_port == b->to_port && a->to_port == b->from_port &&
	       a->protocol == b->protocol && a->type == b->type &&
	       a->from_subject == b->to_subject && a->to_subject == b->from_subject &&
	       addr_equal(&a->from, &b->to) && addr_equal(&a->to, &b->from);
}

static enum flow_state state_of(const struct flow *flow)
{
	return (enum flow_state)atomic_load_explicit(&flow->state, memory_order_relaxed);
}

bool flow_is_over(const struct flow *flow, uint32_t now_s)
{
	enum flow_state state = state_of(flow);
	uint32_t seen_s = atomic_load_explicit(&flow->seen_s, memory_order_relaxed);
	// Another thread may have looked at the clock later.
	int32_t silent_s = (int32_t)(now_s - seen_s);
	return state == FLOW_GONE ||
	       (silent_s > 0 && (uint32_t)silent_s > flow_lifetime_s(flow->key.protocol, state));
}

static bool goes(const struct flow_key *flow, const struct flow_key *key, enum flow_way way,
		 bool *ret_reply)
{
	*ret_reply = false;
	if (way != FLOW_REPLY && same_way(flow, key))
		return true;
	*ret_reply = true;
	return way != FLOW_FIRST && other_way(flow, key);
}

static struct flow *find_in(struct flow *flow, const struct flow_key *key, enum flow_way way,
			    uint32_t now_s, bool *ret_reply)
{
	for (; flow; flow = atomic_load_explicit(&flow->next, memory_order_acquire))
		if (goes(&flow->key, key, way, ret_reply) && !flow_is_over(flow, now_s))
			return flow;
	return NULL;
}

struct flow *flow_find(struct flows *flows, const struct flow_key *key, enum flow_way way,
		       uint32_t now_s, bool *ret_reply)
{
	_Atomic(struct flow *) *bucket = bucket_of(flows, key);
	return find_in(atomic_load_explicit(bucket, memory_order_acquire), key, way, now_s,
		       ret_reply);
}

// --- beginning

static unsigned share(const struct flows *flows)
{
	unsigned peers = subjects_present(flows->subjects);
	unsigned total = atomic_load_explicit(&flows->total, memory_order_relaxed);
	return peers > 1 ? total / peers : total;
}

static bool is_full(const struct flows *flows)
{
	return atomic_load_explicit(&flows->count, memory_order_relaxed) >=
	       atomic_load_explicit(&flows->total, memory_order_relaxed);
}

// What the network begins to a peer leaves it a quarter for what it begins itself.
static unsigned most_of(const struct flow_start *start, unsigned limit)
{
	return start->from || start->own ? limit : limit - limit / 4;
}

// Counts one more, where it may be.
static bool admit(struct flows *flows, struct subject *payer, const struct flow_start *start)
{
	unsigned each = most_of(start, atomic_load_explicit(&flows->each, memory_order_relaxed));
	unsigned has = atomic_fetch_add_explicit(&payer->flows, 1, memory_order_relaxed);
	if ((start->own || has < each) && (!is_full(flows) || has < most_of(start, share(flows)))) {
		atomic_fetch_add_explicit(&flows->count, 1, memory_order_relaxed);
		return true;
	}
	atomic_fetch_sub_explicit(&payer->flows, 1, memory_order_relaxed);
	return false;
}

static struct flow *make(const struct flow_start *start, enum flow_state state)
{
	struct flow *flow = aligned_alloc(FLOW_ALIGN, FLOW_ROOM);
	if (!flow)
		return NULL;
	memset(flow, 0, sizeof(*flow));
	flow->key = start->key;
	flow->from = start->from;
	flow->to = start->to;
	flow->service = start->service;
	flow->began_s = start->now_s;
	atomic_init(&flow->programs, (uint8_t)(start->programs | (unsigned)start->program << 4));
	atomic_init(&flow->rule, start->rule);
	atomic_init(&flow->generation, start->generation);
	atomic_init(&flow->state, (uint8_t)state);
	atomic_init(&flow->seen_s, start->now_s);
	name(flow->from, 1);
	name(flow->to, 1);
	return flow;
}

// Puts it in front, unless the same has got there meanwhile, which is returned then.
static struct flow *insert(struct flows *flows, struct flow *flow, uint32_t now_s)
{
	_Atomic(struct flow *) *bucket = bucket_of(flows, &flow->key);
	struct flow *first = atomic_load_explicit(bucket, memory_order_acquire);
	for (;;) {
		bool reply;
		struct flow *other = find_in(first, &flow->key, FLOW_FIRST, now_s, &reply);
		if (other)
			return other;
		atomic_store_explicit(&flow->next, first, memory_order_relaxed);
		if (atomic_compare_exchange_weak_explicit(
			    bucket, &first, flow, memory_order_acq_rel, memory_order_acquire))
			return flow;
	}
}

enum drop flow_begin(struct flows *flows, const struct flow_start *start, struct flow **ret)
{
	enum flow_state state;
	struct subject *payer = start->from ? start->from : start->to;
	if (flow_state_first(start->key.protocol, start->tcp_flags, &state) != FLOW_PASS)
		return DROP_STATE;
	if (!admit(flows, payer, start))
		return DROP_FLOWS;
	struct flow *flow = make(start, state);
	if (!flow) {
		count_one_less(flows, payer);
		return DROP_FLOWS;
	}
	*ret = insert(flows, flow, start->now_s);
	if (*ret != flow) {
		count_one_less(flows, payer);
		forget(flow);
	}
	return DROP_NONE;
}

// --- going on

enum flow_step flow_step(struct flow *flow, bool reply, uint8_t tcp_flags, uint32_t now_s)
{
	uint8_t before = atomic_load_explicit(&flow->state, memory_order_relaxed);
	enum flow_state after;
	do {
		enum flow_step step =
			flow_state_next((enum flow_state)before, reply, tcp_flags, &after);
		if (step != FLOW_PASS)
			return step;
	} while (after != (enum flow_state)before &&
		 !atomic_compare_exchange_weak_explicit(&flow->state, &before, (uint8_t)after,
							memory_order_relaxed,
							memory_order_relaxed));
	if (atomic_load_explicit(&flow->seen_s, memory_order_relaxed) != now_s)
		atomic_store_explicit(&flow->seen_s, now_s, memory_order_relaxed);
	return FLOW_PASS;
}

void flow_count(struct flow *flow, bool reply, uint64_t packets, uint64_t bytes)
{
	atomic_fetch_add_explicit(&flow->packets[reply], packets, memory_order_relaxed);
	atomic_fetch_add_explicit(&flow->bytes[reply], bytes, memory_order_relaxed);
}

void flow_judged(struct flow *flow, uint32_t generation, uint8_t program, uint32_t rule)
{
	atomic_store_explicit(&flow->programs,
			      (uint8_t)(flow_programs(flow) | (unsigned)program << 4),
			      memory_order_relaxed);
	atomic_store_explicit(&flow->rule, rule, memory_order_relaxed);
	atomic_store_explicit(&flow->generation, generation, memory_order_relaxed);
}

bool flow_end(struct flow *flow)
{
	return atomic_exchange_explicit(&flow->state, FLOW_GONE, memory_order_relaxed) != FLOW_GONE;
}

// --- sweeping

// Whoever has a session keeps its flows for as long as they live; who has been away for long does not.
static bool is_abandoned(const struct subject *subject, uint32_t now_s)
{
	return subject && subject->sessions == 0 && now_s > subject->left_s + LINGER_S;
}

// The table is full, and this one belongs to who has more than a share. What was never answered goes first.
static bool is_too_many(const struct flows *flows, const struct flow *flow)
{
	unsigned count = atomic_load_explicit(&flows->count, memory_order_relaxed);
	unsigned total = atomic_load_explicit(&flows->total, memory_order_relaxed);
	unsigned has = atomic_load_explicit(&flow_payer(flow)->flows, memory_order_relaxed);
	return count > total && has > share(flows) &&
	       (flows->crowded || !flow_is_replied(state_of(flow)));
}

static bool must_go(const struct flows *flows, struct flow *flow, const struct flow_sweep *sweep)
{
	return flow_is_over(flow, sweep->now_s) || is_abandoned(flow->from, sweep->now_s) ||
	       is_abandoned(flow->to, sweep->now_s) || is_too_many(flows, flow) ||
	       (sweep->keep && !sweep->keep(flow, sweep->data));
}

// `link` is where `flow` hangs. Workers change nothing but the first link of a bucket, and only to put something before it.
static void take_out(_Atomic(struct flow *) *bucket, _Atomic(struct flow *) *link,
		     struct flow *flow)
{
	struct flow *next = atomic_load_explicit(&flow->next, memory_order_relaxed);
	struct flow *expected = flow;
	if (link != bucket) {
		atomic_store_explicit(link, next, memory_order_release);
		return;
	}
	if (atomic_compare_exchange_strong_explicit(bucket, &expected, next, memory_order_acq_rel,
						    memory_order_acquire))
		return;
	while (atomic_load_explicit(&expected->next, memory_order_acquire) != flow)
		expected = atomic_load_explicit(&expected->next, memory_order_acquire);
	atomic_store_explicit(&expected->next, next, memory_order_release);
}

// What was taken out may still be in a worker's hand, which goes on by its `next`.
struct gone {
	struct flow **flows;
	size_t count, room;
};

static bool remember(struct gone *gone, struct flow *flow)
{
	if (gone->count == gone->room) {
		size_t room = gone->room ? 2 * gone->room : 256;
		struct flow **flows = reallocarray(gone->flows, room, sizeof(struct flow *));
		if (!flows)
			return false;
		gone->flows = flows;
		gone->room = room;
	}
	gone->flows[gone->count++] = flow;
	return true;
}

static void sweep_bucket(struct flows *flows, unsigned number, const struct flow_sweep *sweep,
			 struct gone *gone)
{
	_Atomic(struct flow *) *bucket = &flows->buckets[number];
	_Atomic(struct flow *) *link = bucket;
	struct flow *flow = atomic_load_explicit(bucket, memory_order_acquire);
	while (flow) {
		struct flow *next = atomic_load_explicit(&flow->next, memory_order_acquire);
		if (!must_go(flows, flow, sweep)) {
			link = &flow->next;
		} else {
			flow_end(flow);
			if (!remember(gone, flow))
				return;
			take_out(bucket, link, flow);
			count_one_less(flows, flow_payer(flow));
		}
		flow = next;
	}
}

static void free_gone(struct gone *gone)
{
	if (gone->count)
		rcu_wait();
	for (size_t i = 0; i < gone->count; i++)
		forget(gone->flows[i]);
	free(gone->flows);
}

bool flows_sweep(struct flows *flows, const struct flow_sweep *sweep)
{
	struct gone gone = {0};
	unsigned left = FLOWS_BUCKETS - flows->bucket;
	unsigned buckets = sweep->buckets && sweep->buckets < left ? sweep->buckets : left;
	for (unsigned i = 0; i < buckets; i++)
		sweep_bucket(flows, flows->bucket + i, sweep, &gone);
	free_gone(&gone);
	flows->bucket = (flows->bucket + buckets) % FLOWS_BUCKETS;
	if (flows->bucket != 0)
		return false;
	flows->crowded = flows_count(flows) > flows_limits(flows).total;
	return true;
}

bool flows_each(const struct flows *flows, size_t *cursor, unsigned buckets, uint32_t now_s,
		void (*each)(const struct flow *flow, void *data), void *data)
{
	for (unsigned i = 0; i < buckets && *cursor < FLOWS_BUCKETS; i++, (*cursor)++) {
		const struct flow *flow =
			atomic_load_explicit(&flows->buckets[*cursor], memory_order_acquire);
		for (; flow; flow = atomic_load_explicit(&flow->next, memory_order_acquire))
			if (!flow_is_over(flow, now_s))
				each(flow, data);
	}
	return *cursor < FLOWS_BUCKETS;
}
