// SPDX-License-Identifier: Apache-2.0

#include "server/policy_space.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "server/policy.h"
#include "server/policy_words.h"
#include "server/space_addr.h"
#include "server/space_peer.h"

// Positions of the words of one policy in the space.
struct renamed {
	unsigned *groups, *nets;
};

struct building {
	struct space *space;
	struct table *words, *rules; // what is there already
	struct renamed old, new;
	struct space_set all_services;
	unsigned *scratch; // room for all services
	bool *marks;	   // of services
};

static void building_done(struct building *building)
{
	table_free(building->words);
	table_free(building->rules);
	free(building->scratch);
	free(building->marks);
	free(building->old.groups);
	free(building->old.nets);
	free(building->new.groups);
	free(building->new.nets);
}

// --- words

static size_t text_size(const char *text)
{
	return text ? strlen(text) + 2 : 1;
}

static char *put_text(char *to, const char *text)
{
	*to++ = text != NULL;
	return text ? stpcpy(to, text) + 1 : to;
}

// The entries of a group as bytes, so that equal ones are one word.
static void *group_key(struct arena *arena, const struct rule_group *group, size_t *ret_size)
{
	size_t size = 1;
	for (unsigned i = 0; i < group->peer_count; i++)
		size += text_size(group->peers[i].identity) + text_size(group->peers[i].issuer) +
			text_size(group->peers[i].unit) + 1;
	char *key = arena_alloc(arena, size, 1), *to = key;
	if (!key)
		return NULL;
	*to++ = 'g';
	for (unsigned i = 0; i < group->peer_count; i++) {
		to = put_text(to, group->peers[i].identity);
		to = put_text(to, group->peers[i].issuer);
		to = put_text(to, group->peers[i].unit);
		*to++ = group->peers[i].hardware;
	}
	*ret_size = (size_t)(to - key);
	return key;
}

static void *net_key(struct arena *arena, const struct rule_net *net, size_t *ret_size)
{
	const size_t each = sizeof(struct addr) + 1;
	char *key = arena_alloc(arena, 1 + net->prefix_count * each, 1), *to = key;
	if (!key)
		return NULL;
	*to++ = 'n';
	for (unsigned i = 0; i < net->prefix_count; i++, to += each) {
		memcpy(to, &net->prefixes[i].addr, sizeof(struct addr));
		to[each - 1] = (char)net->prefixes[i].length;
	}
	*ret_size = (size_t)(to - key);
	return key;
}

// The position of a word among those of its kind, at the end unless there is an equal one. -ENOMEM.
static int intern(struct building *building, const void *key, size_t size, struct space_word *words,
		  unsigned *count, unsigned *ret)
{
	const struct space_word *found = key ? table_find(building->words, key, size) : NULL;
	*ret = found ? (unsigned)(found - words) : *count;
	if (!key || found)
		return key ? 0 : -ENOMEM;
	return table_add(building->words, key, size, &words[(*count)++]);
}

static int add_groups(struct building *building, const struct rules *rules, unsigned *names)
{
	struct space *space = building->space;
	char text[POLICY_WORD_MAX];
	int r = 0;
	for (unsigned i = 0; r == 0 && i < rules->group_count; i++) {
		size_t size = 0;
		const void *key = group_key(space->arena, &rules->groups[i], &size);
		r = intern(building, key, size, space->groups, &space->group_count, &names[i]);
		struct space_word *word = &space->groups[names[i]];
		if (r < 0 || word->group)
			continue;
		word->group = &rules->groups[i];
		word->name = arena_text(space->arena, policy_group_text(rules, i, text));
		r = word->name ? 0 : -ENOMEM;
	}
	return r;
}

static int add_nets(struct building *building, const struct rules *rules, unsigned *names)
{
	struct space *space = building->space;
	char text[POLICY_WORD_MAX];
	int r = 0;
	for (unsigned i = 0; r == 0 && i < rules->net_count; i++) {
		size_t size = 0;
		const void *key = net_key(space->arena, &rules->nets[i], &size);
		r = intern(building, key, size, space->nets, &space->net_count, &names[i]);
		struct space_word *word = &space->nets[names[i]];
		if (r < 0 || word->net)
			continue;
		word->net = &rules->nets[i];
		word->name = arena_text(space->arena, policy_net_text(rules, i, text));
		r = word->name ? 0 : -ENOMEM;
	}
	return r;
}

static int make_words(struct building *building, const struct rules *old, const struct rules *new)
{
	struct space *space = building->space;
	size_t groups = (size_t)old->group_count + new->group_count + 1;
	size_t nets = (size_t)old->net_count + new->net_count + 1;
	space->groups = arena_alloc(space->arena, groups, sizeof(*space->groups));
	space->nets = arena_alloc(space->arena, nets, sizeof(*space->nets));
	building->old.groups = calloc(groups, sizeof(unsigned));
	building->old.nets = calloc(nets, sizeof(unsigned));
	building->new.groups = calloc(groups, sizeof(unsigned));
	building->new.nets = calloc(nets, sizeof(unsigned));
	if (!space->groups || !space->nets || !building->old.groups || !building->old.nets ||
	    !building->new.groups || !building->new.nets)
		return -ENOMEM;
	int r = add_groups(building, old, building->old.groups);
	if (r == 0)
		r = add_nets(building, old, building->old.nets);
	if (r == 0)
		r = add_groups(building, new, building->new.groups);
	return r < 0 ? r : add_nets(building, new, building->new.nets);
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
		      const struct renamed *names, struct space_side *ret)
{
	ret->any = side->any;
	ret->group_count = side->group_count;
	ret->net_count = side->net_count;
	ret->groups = rename_words(arena, side->groups, side->group_count, names->groups);
	ret->nets = rename_words(arena, side->nets, side->net_count, names->nets);
	return ret->groups && ret->nets;
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
	const struct renamed *names = is_new ? &building->new : &building->old;
	struct arena *arena = building->space->arena;
	unsigned count;
	const struct rule *list = rules_of(rules, program, &count);
	int r = 0;
	for (unsigned i = 0; r == 0 && i < count; i++) {
		struct space_rule rule = {.old = !is_new, .new = is_new, .deny = list[i].deny};
		if (!policy_active(&list[i], at))
			continue;
		if (!make_side(arena, &list[i].from, names, &rule.from) ||
		    !make_side(arena, &list[i].to, names, &rule.to) ||
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
		 enum filter_program program, time_t at)
{
	struct space *space = building->space;
	unsigned old_count, new_count;
	rules_of(old, program, &old_count);
	rules_of(new, program, &new_count);
	space->rules =
		arena_alloc(space->arena, (size_t)old_count + new_count + 1, sizeof(*space->rules));
	int r = space->rules ? make_words(building, old, new) : -ENOMEM;
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
	      time_t at, struct space **ret)
{
	_cleanup_(space_freep) struct space *space = calloc(1, sizeof(*space));
	_cleanup_(building_done) struct building building = {.space = space};
	if (!space)
		return -ENOMEM;
	space->arena = arena_new();
	building.words = table_new();
	building.rules = table_new();
	if (!space->arena || !building.words || !building.rules)
		return -ENOMEM;
	int r = build(&building, old, new, program, at);
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
