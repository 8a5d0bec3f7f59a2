// SPDX-License-Identifier: Apache-2.0

#include "server/policy_interval.h"

#include <errno.h>
#include <stdlib.h>

#define PORTS	  65536u
#define PROTOCOLS 256u

struct policy_intervals {
	uint32_t *edges; // protocol * (PORTS + 1) + where an interval begins
	size_t count, room;
};

struct policy_intervals *policy_intervals_new(void)
{
	return calloc(1, sizeof(struct policy_intervals));
}

struct policy_intervals *policy_intervals_free(struct policy_intervals *intervals)
{
	if (intervals)
		free(intervals->edges);
	free(intervals);
	return NULL;
}

static int compare_edges(const void *left, const void *right)
{
	const uint32_t *a = left, *b = right;
	return *a < *b ? -1 : *a > *b;
}

static size_t unite(uint32_t *edges, size_t count)
{
	size_t kept = 0;
	if (count)
		qsort(edges, count, sizeof(*edges), compare_edges);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || edges[kept - 1] != edges[i])
			edges[kept++] = edges[i];
	return kept;
}

// Room for four more. Most of them are there already.
static int grow(struct policy_intervals *intervals)
{
	if (intervals->count + 4 <= intervals->room)
		return 0;
	intervals->count = unite(intervals->edges, intervals->count);
	if (intervals->count * 2 + 4 <= intervals->room)
		return 0;
	size_t room = intervals->room ? intervals->room * 2 : 64;
	uint32_t *grown = reallocarray(intervals->edges, room, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	intervals->edges = grown;
	intervals->room = room;
	return 0;
}

static int add_protocol(struct policy_intervals *intervals, uint8_t protocol, uint32_t first,
			uint32_t end)
{
	uint32_t base = protocol * (PORTS + 1);
	if (grow(intervals) < 0)
		return -ENOMEM;
	intervals->edges[intervals->count++] = base;
	intervals->edges[intervals->count++] = base + first;
	intervals->edges[intervals->count++] = base + end;
	intervals->edges[intervals->count++] = base + PORTS;
	return 0;
}

int policy_intervals_add(struct policy_intervals *intervals, const struct rule_service *services,
			 unsigned count)
{
	int r = 0;
	for (unsigned i = 0; r == 0 && i < count; i++) {
		const struct rule_service *service = &services[i];
		if (service->any_protocol)
			continue;
		r = add_protocol(intervals, service->protocols[0], service->first,
				 service->last + 1u);
		if (r == 0 && service->protocols[1])
			r = add_protocol(intervals, service->protocols[1], service->first,
					 service->last + 1u);
	}
	return r;
}

int policy_intervals_add_rules(struct policy_intervals *intervals, const struct rules *rules,
			       enum filter_program program)
{
	unsigned count;
	const struct rule *list = rules_of(rules, program, &count);
	int r = 0;
	for (unsigned i = 0; r == 0 && i < count; i++)
		r = policy_intervals_add(intervals, list[i].services, list[i].service_count);
	return r;
}

int policy_intervals_list(struct policy_intervals *intervals, struct policy_interval **ret,
			  size_t *ret_count)
{
	intervals->count = unite(intervals->edges, intervals->count);
	struct policy_interval *list = calloc(intervals->count + 1, sizeof(*list));
	bool named[PROTOCOLS] = {false};
	size_t count = 0;
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i + 1 < intervals->count; i++) {
		uint32_t edge = intervals->edges[i], protocol = edge / (PORTS + 1);
		named[protocol] = true;
		if (edge % (PORTS + 1) != PORTS)
			list[count++] = (struct policy_interval){
				.protocol = (uint8_t)protocol,
				.first = (uint16_t)(edge % (PORTS + 1)),
				.last = (uint16_t)(intervals->edges[i + 1] % (PORTS + 1) - 1),
			};
	}
	for (unsigned protocol = PROTOCOLS; protocol-- > 0;) {
		if (named[protocol])
			continue;
		list[count++] = (struct policy_interval){
			.protocol = (uint8_t)protocol, .others = true, .last = UINT16_MAX};
		break;
	}
	*ret = list;
	*ret_count = count;
	return 0;
}

bool policy_interval_within(const struct policy_interval *interval,
			    const struct rule_service *service)
{
	return rule_service_matches(service, interval->protocol, interval->first);
}
