// SPDX-License-Identifier: Apache-2.0

#include "daemon/reach.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "daemon/ask.h"
#include "server/policy_diff.h"

struct search {
	struct reach *reach;
	const char *program;
	unsigned most;
	bool no_memory;
};

static void on_change(const struct policy_change *change, void *data)
{
	struct search *search = data;
	if (search->reach->count++ >= search->most)
		return;
	if (json_array_append_new(search->reach->changes,
				  json_pack("{s:s,s:s,s:s,s:s,s:s}", "program", search->program,
					    "from", change->from, "to", change->to, "gained",
					    change->gained, "lost", change->lost)) < 0)
		search->no_memory = true;
}

static int compare(const struct rules *old, const struct rules *new, enum filter_program program,
		   time_t at, const struct rule_net *own, struct search *search)
{
	static const char *const names[] = {[FILTER_RULES] = "rules", [FILTER_INBOUND] = "inbound"};
	_cleanup_(policy_diff_freep) struct policy_diff *diff = NULL;
	search->program = names[program];
	int r = policy_diff_new(old, new, program, at, own, &diff);
	if (r == 0)
		r = policy_diff_each(diff, on_change, search);
	if (r == 0)
		search->reach->cut |= policy_diff_cut(diff);
	return search->no_memory ? -ENOMEM : r;
}

int reach_compare(const struct rules *old, const struct rules *new, time_t at,
		  const struct rule_net *own, unsigned most, struct reach *ret)
{
	struct reach reach = {.changes = json_array()};
	struct search search = {.reach = &reach, .most = most};
	int r = reach.changes ? 0 : -ENOMEM;
	for (unsigned program = 0; r == 0 && program < FILTER_PROGRAMS; program++)
		r = compare(old, new, (enum filter_program)program, at, own, &search);
	if (r == 0)
		*ret = reach;
	else
		reach_done(&reach);
	return r;
}

void reach_done(struct reach *reach)
{
	json_decref(reach->changes);
	reach->changes = NULL;
}

static void print_way(const json_t *change, char sign, const char *services)
{
	bool inbound = strcmp(ask_text(change, "program"), "inbound") == 0;
	if (*services)
		printf("%c %s%s -> %s: %s\n", sign, inbound ? "inbound: " : "",
		       ask_text(change, "from"), ask_text(change, "to"), services);
}

void reach_print(const json_t *change)
{
	print_way(change, '+', ask_text(change, "gained"));
	print_way(change, '-', ask_text(change, "lost"));
}
