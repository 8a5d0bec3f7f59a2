// SPDX-License-Identifier: Apache-2.0
// For the moment the rules one by one; it borrows them until the filter goes.

#include "tun/filter.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tun/rule.h"

struct filter_class {
	struct filter_class *next;
	struct filter_peer peer;
	char *texts[]; // that it points to
};

struct filter {
	uint32_t generation;
	const struct rules *rules;
	bool *active[FILTER_PROGRAMS];
	struct filter_class *list;
	_Atomic(const struct filter_class *) classes[FILTER_SUBJECTS_MAX];
};

int filter_new(const struct rules *rules, const bool *const active[FILTER_PROGRAMS],
	       struct filter **ret)
{
	_cleanup_(filter_freep) struct filter *filter = calloc(1, sizeof(*filter));
	if (!filter)
		return -ENOMEM;
	filter->rules = rules;
	filter->generation = 1;
	for (unsigned i = 0; i < FILTER_PROGRAMS; i++) {
		unsigned count;
		rules_of(rules, i, &count);
		if (count > FILTER_RULES_MAX)
			return -E2BIG;
		filter->active[i] = malloc(count + 1);
		if (!filter->active[i])
			return -ENOMEM;
		memset(filter->active[i], 1, count + 1);
		if (active && active[i])
			memcpy(filter->active[i], active[i], count);
	}
	*ret = take(filter);
	return 0;
}

static void class_free(struct filter_class *class)
{
	for (unsigned i = 0; i < class->peer.unit_count + 2; i++)
		free(class->texts[i]);
	free((void *)class->peer.units);
	free(class);
}

struct filter *filter_free(struct filter *filter)
{
	if (!filter)
		return NULL;
	while (filter->list) {
		struct filter_class *class = filter->list;
		filter->list = class->next;
		class_free(class);
	}
	for (unsigned i = 0; i < FILTER_PROGRAMS; i++)
		free(filter->active[i]);
	free(filter);
	return NULL;
}

const struct filter_class *filter_class_of(struct filter *filter, const struct filter_peer *peer)
{
	struct filter_class *class =
		calloc(1, sizeof(*class) + (peer->unit_count + 2) * sizeof(char *));
	const char **units = calloc(peer->unit_count + 1, sizeof(*units));
	if (!class || !units) {
		free(class);
		free(units);
		return NULL;
	}
	for (unsigned i = 0; i < peer->unit_count; i++)
		units[i] = class->texts[i + 2] = strdup(peer->units[i]);
	class->texts[0] = strdup(peer->identity);
	class->texts[1] = peer->issuer ? strdup(peer->issuer) : NULL;
	class->peer = (struct filter_peer){
		.identity = class->texts[0],
		.issuer = class->texts[1],
		.units = units,
		.unit_count = peer->unit_count,
		.hardware = peer->hardware,
	};
	class->next = filter->list;
	filter->list = class;
	return class;
}

void filter_set_class(struct filter *filter, unsigned subject, const struct filter_class *class)
{
	atomic_store_explicit(&filter->classes[subject], class, memory_order_release);
}

void filter_follow(struct filter *filter, const struct filter *before)
{
	filter->generation = before ? before->generation + 1 : 1;
}

const struct filter_class *filter_class(const struct filter *filter, unsigned subject)
{
	return atomic_load_explicit(&filter->classes[subject], memory_order_acquire);
}

uint32_t filter_generation(const struct filter *filter)
{
	return filter->generation;
}

void filter_judge(const struct filter *filter, const struct filter_question *question,
		  struct filter_verdict *ret)
{
	const bool *active[FILTER_PROGRAMS] = {filter->active[0], filter->active[1]};
	struct rule_question facts = {
		.program = question->program,
		.from.addr = question->from.addr,
		.to.addr = question->to.addr,
		.protocol = question->protocol,
		.port = question->port,
	};
	if (question->from.class)
		facts.from.peer = &question->from.class->peer;
	if (question->to.class)
		facts.to.peer = &question->to.class->peer;
	rules_judge(filter->rules, active, &facts, ret, NULL);
}
