// SPDX-License-Identifier: Apache-2.0

#include "tun/uses.h"

#include <errno.h>
#include <string.h>

// The rules of one program that use position p at one side: numbers[starts[p]..starts[p + 1]).
struct list {
	uint32_t *starts;
	uint32_t *numbers;
};

struct uses {
	unsigned count;
	size_t words[FILTER_PROGRAMS]; // of a program's bits
	struct list lists[FILTER_PROGRAMS][USES_SIDES];
	uint64_t *bits; // for uses_of(), all zero between calls
};

void uses_sets_done(struct uses_sets *sets)
{
	for (unsigned p = 0; p < FILTER_PROGRAMS; p++)
		for (unsigned s = 0; s < USES_SIDES; s++)
			sets->of[p][s] = ruleset_free(sets->of[p][s]);
}

// What is to be known of one side of one program.
struct view {
	const struct rule_order *order;
	enum uses_side side;
	enum uses_kind kind;
	const uint32_t *same;
};

// What the rule names at the side; of any address or peer, narrower words say nothing.
static const unsigned *named(const struct rule *rule, const struct view *view, unsigned *ret_count)
{
	const struct rule_side *side = view->side == USES_FROM ? &rule->from : &rule->to;
	*ret_count = view->kind == USES_GROUPS ? side->group_count : side->net_count;
	if (side->any)
		*ret_count = 0;
	return view->kind == USES_GROUPS ? side->groups : side->nets;
}

static uint32_t position_of(const struct view *view, unsigned word)
{
	return view->same ? view->same[word] : word;
}

static bool fill(struct list *list, const struct view *view, unsigned count)
{
	const struct rule_order *order = view->order;
	unsigned named_count;
	list->starts = calloc((size_t)count + 2, sizeof(*list->starts));
	if (!list->starts)
		return false;
	// Counted two places ahead, so that filling leaves each start where it belongs.
	for (unsigned n = 0; n < order->count; n++) {
		const unsigned *at = named(order->rules[n], view, &named_count);
		for (unsigned i = 0; i < named_count; i++)
			list->starts[position_of(view, at[i]) + 2]++;
	}
	for (unsigned i = 2; i < count + 2; i++)
		list->starts[i] += list->starts[i - 1];
	list->numbers = calloc((size_t)list->starts[count + 1] + 1, sizeof(*list->numbers));
	for (unsigned n = 0; list->numbers && n < order->count; n++) {
		const unsigned *at = named(order->rules[n], view, &named_count);
		for (unsigned i = 0; i < named_count; i++)
			list->numbers[list->starts[position_of(view, at[i]) + 1]++] = n;
	}
	return list->numbers != NULL;
}

struct uses *uses_new(const struct rule_order orders[FILTER_PROGRAMS], enum uses_kind kind,
		      unsigned count, const uint32_t *same)
{
	_cleanup_(uses_freep) struct uses *uses = calloc(1, sizeof(*uses));
	size_t most = 1;
	if (!uses)
		return NULL;
	uses->count = count;
	for (unsigned p = 0; p < FILTER_PROGRAMS; p++) {
		uses->words[p] = RULESET_WORDS(orders[p].count);
		most = uses->words[p] > most ? uses->words[p] : most;
		for (unsigned s = 0; s < USES_SIDES; s++)
			if (!fill(&uses->lists[p][s], &(struct view){&orders[p], s, kind, same},
				  count))
				return NULL;
	}
	uses->bits = calloc(most, sizeof(*uses->bits));
	return uses->bits ? take(uses) : NULL;
}

struct uses *uses_free(struct uses *uses)
{
	if (!uses)
		return NULL;
	for (unsigned p = 0; p < FILTER_PROGRAMS; p++) {
		for (unsigned s = 0; s < USES_SIDES; s++) {
			free(uses->lists[p][s].starts);
			free(uses->lists[p][s].numbers);
		}
	}
	free(uses->bits);
	free(uses);
	return NULL;
}

int uses_of(struct uses *uses, const uint32_t *positions, unsigned count,
	    const struct uses_sets *more, struct uses_sets *ret)
{
	struct uses_sets sets = {0};
	int r = 0;
	for (unsigned n = 0; r == 0 && n < FILTER_PROGRAMS * USES_SIDES; n++) {
		unsigned p = n / USES_SIDES, s = n % USES_SIDES;
		const struct list *list = &uses->lists[p][s];
		if (more)
			ruleset_spread(more->of[p][s], uses->bits);
		for (unsigned i = 0; i < count; i++)
			for (uint32_t at = list->starts[positions[i]];
			     at < list->starts[positions[i] + 1]; at++)
				ruleset_bit(uses->bits, list->numbers[at]);
		r = ruleset_new(uses->bits, uses->words[p], &sets.of[p][s]);
		memset(uses->bits, 0, uses->words[p] * sizeof(*uses->bits));
	}
	if (r < 0)
		uses_sets_done(&sets);
	else
		*ret = sets;
	return r;
}
