// SPDX-License-Identifier: Apache-2.0

#include "server/policy_space.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "server/policy.h"
#include "server/space_addr.h"
#include "server/space_peer.h"
#include "server/space_word.h"

struct building {
	struct space *space;
	struct table *rules; // what is there already
	struct space_names old, new;
	struct space_set all_services;
	unsigned *scratch; // room for all services
	bool *marks;	   // of services
};

static void building_done(struct building *building)
{
	table_free(building->rules);
	free(building->scratch);
	free(building->marks);
	space_names_done(&building->old);
	space_names_done(&building->new);
}

// --- rules

static int compare_numbers(const void *left, const void *right)
{
	const unsigned *a = left, *b = right;
	return *a < *b ? -1 : *a > *b;
}

// NULL: out of memory.
static const unsigned *rename_words(struct arena *arena, const unsigned *words, unsigned count,
				    const unsigned *names)
{
	unsigned *renamed = arena_alloc(arena, count + 1, sizeof(*renamed));
	for (unsigned i = 0; renamed && i < count; i++)
		renamed[i] = names[words[i]];
	if (renamed && count)
		qsort(renamed, count, sizeof(*renamed), compare_numbers);
	return renamed;
}

static bool make_side(struct arena *arena, const struct rule_side *side,
		      const struct space_names *names, struct space_side *ret)
{
	ret->any = side->any;
	ret->group_count = side->group_count;
	ret->net_count = side->net_count;
	ret->groups = rename_words(arena, side->groups, side->group_count, names->groups);
	ret->nets = rename_words(arena, side->nets, side->net_count, names->nets);
	return ret->groups && ret->nets;
}

// What is for this node alone goes to its own addresses.
static bool make_to(struct arena *arena, const struct rule *rule, const struct space_names *names,
		    struct space_side *ret)
{
	if (!rule->own || !rule->to.any)
		return make_side(arena, &rule->to, names, ret);
	*ret = (struct space_side){.nets = arena_copy(arena, &names->own, 1, sizeof(names->own)),
				   .net_count = 1};
	return ret->nets;
}

// The first interval of a protocol that does not end before a port. `others` comes last, and is of no protocol.
static size_t first_interval(const struct space *space, uint8_t protocol, uint16_t port)
{
	size_t low = 0, high = space->service_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct policy_interval *at = &space->services[middle];
		bool before = !at->others && (at->protocol < protocol ||
					      (at->protocol == protocol && at->last < port));
		if (before)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void mark_services(const struct space *space, const struct rule_service *service,
			  uint8_t protocol, bool *marks, struct space_set *list)
{
	for (size_t i = first_interval(space, protocol, service->first); i < space->service_count;
	     i++) {
		const struct policy_interval *at = &space->services[i];
		if (at->others || at->protocol != protocol || at->first > service->last)
			break;
		if (!marks[i])
			((unsigned *)list->atoms)[list->count++] = (unsigned)i;
		marks[i] = true;
	}
}

// Rules for all services share one set.
static bool make_services(struct building *building, const struct rule *rule, struct space_set *ret)
{
	const struct space *space = building->space;
	bool *marks = building->marks;
	struct space_set list = {.atoms = building->scratch};
	bool any = false;
	for (unsigned i = 0; i < rule->service_count; i++)
		any |= rule->services[i].any_protocol;
	if (!marks)
		return false;
	if (any) {
		*ret = building->all_services;
		return true;
	}
	for (unsigned i = 0; i < rule->service_count; i++) {
		const struct rule_service *service = &rule->services[i];
		mark_services(space, service, service->protocols[0], marks, &list);
		if (service->protocols[1])
			mark_services(space, service, service->protocols[1], marks, &list);
	}
	for (unsigned i = 0; i < list.count; i++)
		marks[list.atoms[i]] = false;
	if (list.count)
		qsort(building->scratch, list.count, sizeof(unsigned), compare_numbers);
	ret->count = list.count;
	ret->atoms = arena_copy(space->arena, list.atoms, list.count, sizeof(unsigned));
	return ret->atoms;
}

static int prepare_services(struct building *building)
{
	struct space *space = building->space;
	unsigned *all = arena_alloc(space->arena, space->service_count, sizeof(*all));
	building->scratch = calloc(space->service_count + 1, sizeof(unsigned));
	building->marks = calloc(space->service_count + 1, sizeof(bool));
	if (!all || !building->scratch || !building->marks)
		return -ENOMEM;
	for (size_t i = 0; i < space->service_count; i++)
		all[i] = (unsigned)i;
	building->all_services = (struct space_set){all, (unsigned)space->service_count};
	return 0;
}

static unsigned *put_side(unsigned *to, const struct space_side *side)
{
	*to++ = side->any;
	*to++ = side->group_count;
	for (unsigned i = 0; i < side->group_count; i++)
		*to++ = side->groups[i];
	*to++ = side->net_count;
	for (unsigned i = 0; i < side->net_count; i++)
		*to++ = side->nets[i];
	return to;
}

// Equal ones of both policies are one.
static int add_rule(struct building *building, const struct space_rule *rule)
{
	struct space *space = building->space;
	size_t words = 8u + rule->from.group_count + rule->from.net_count + rule->to.group_count +
		       rule->to.net_count + rule->services.count;
	unsigned *key = arena_alloc(space->arena, words, sizeof(*key));
	if (!key)
		return -ENOMEM;
	key[0] = rule->deny;
	unsigned *to = put_side(put_side(key + 1, &rule->from), &rule->to);
	if (rule->services.count)
		memcpy(to, rule->services.atoms, rule->services.count * sizeof(*to));
	to += rule->services.count;
	size_t size = (size_t)(to - key) * sizeof(*key);
	struct space_rule *found = table_find(building->rules, key, size);
	if (found) {
		found->old |= rule->old;
		found->new |= rule->new;
		return 0;
	}
	found = &space->rules[space->rule_count++];
	*found = *rule;
	return table_add(building->rules, key, size, found);
}

static int add_rules(struct building *building, const struct rules *rules,
		     enum filter_program program, time_t at, bool is_new)
{
	const struct space_names *names = is_new ? &building->new : &building->old;
	struct arena *arena = building->space->arena;
	unsigned count;
	const struct rule *list = rules_of(rules, program, &count);
	int r = 0;
	for (unsigned i = 0; r == 0 && i < count; i++) {
		struct space_rule rule = {.old = !is_new, .new = is_new, .deny = list[i].deny};
		if (!policy_active(&list[i], at))
			continue;
		if (!make_side(arena, &list[i].from, names, &rule.from) ||
		    !make_to(arena, &list[i], names, &rule.to) ||
		    !make_services(building, &list[i], &rule.services))
			return -ENOMEM;
		r = add_rule(building, &rule);
	}
	return r;
}

static int make_intervals(struct space *space, const struct rules *old, const struct rules *new,
			  enum filter_program program)
{
	_cleanup_(policy_intervals_freep) struct policy_intervals *intervals =
		policy_intervals_new();
	int r = intervals ? policy_intervals_add_rules(intervals, old, program) : -ENOMEM;
	if (r == 0)
		r = policy_intervals_add_rules(intervals, new, program);
	return r < 0 ? r
		     : policy_intervals_list(intervals, &space->services, &space->service_count);
}

static int build(struct building *building, const struct rules *old, const struct rules *new,
		 enum filter_program program, time_t at, const struct rule_net *own)
{
	struct space *space = building->space;
	unsigned old_count, new_count;
	rules_of(old, program, &old_count);
	rules_of(new, program, &new_count);
	space->rules =
		arena_alloc(space->arena, (size_t)old_count + new_count + 1, sizeof(*space->rules));
	int r = space->rules ? space_words_make(space, old, new, program, own, &building->old,
						&building->new)
			     : -ENOMEM;
	if (r == 0)
		r = make_intervals(space, old, new, program);
	if (r == 0)
		r = prepare_services(building);
	if (r == 0)
		r = space_peers_make(space);
	if (r == 0)
		r = space_addrs_make(space);
	if (r == 0)
		r = add_rules(building, old, program, at, false);
	return r < 0 ? r : add_rules(building, new, program, at, true);
}

int space_new(const struct rules *old, const struct rules *new, enum filter_program program,
	      time_t at, const struct rule_net *own, struct space **ret)
{
	_cleanup_(space_freep) struct space *space = calloc(1, sizeof(*space));
	_cleanup_(building_done) struct building building = {.space = space};
	if (!space)
		return -ENOMEM;
	space->arena = arena_new();
	building.rules = table_new();
	if (!space->arena || !building.rules)
		return -ENOMEM;
	int r = build(&building, old, new, program, at, own);
	if (r < 0)
		return r;
	*ret = take(space);
	return 0;
}

struct space *space_free(struct space *space)
{
	if (!space)
		return NULL;
	free(space->services);
	arena_free(space->arena);
	free(space);
	return NULL;
}

// --- finding

static bool find_peer(const struct space *space, const struct filter_peer *peer, unsigned *ret)
{
	for (unsigned i = 0; i < space->peer_count; i++) {
		const unsigned *next = space->peers[i].groups;
		bool same = true;
		for (unsigned j = 0; same && j < space->group_count; j++) {
			const struct rule_group *group = space->groups[j].group;
			bool in = false;
			for (unsigned k = 0; !in && peer && k < group->peer_count; k++)
				in = rule_peer_matches(&group->peers[k], peer);
			same = in == (*next == j);
			next += in && same;
		}
		*ret = i;
		if (same && *next == RULE_NONE)
			return true;
	}
	return false;
}

// The last that holds it is the smallest.
static unsigned find_addr(const struct space *space, const struct addr *addr)
{
	unsigned found = 0;
	for (unsigned i = 0; i < space->addr_count; i++)
		if (prefix_contains(&space->addrs[i].prefix, addr))
			found = i;
	return found;
}

bool space_find(const struct space *space, const struct rule_question *question, unsigned atoms[5])
{
	bool known = false;
	atoms[1] = find_addr(space, question->from.addr);
	atoms[3] = find_addr(space, question->to.addr);
	for (unsigned i = 0; i < space->service_count; i++) {
		const struct policy_interval *service = &space->services[i];
		bool own = service->protocol == question->protocol && !service->others;
		known |= own;
		if (own ? service->first <= question->port && question->port <= service->last
			: service->others && !known)
			atoms[4] = i;
	}
	return find_peer(space, question->from.peer, &atoms[0]) &&
	       find_peer(space, question->to.peer, &atoms[2]);
}
