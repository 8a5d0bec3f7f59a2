// SPDX-License-Identifier: Apache-2.0

#include "server/space_word.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>

#include "base/table.h"
#include "server/policy_space.h"
#include "server/policy_words.h"

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
static int intern(struct table *known, const void *key, size_t size, struct space_word *words,
		  unsigned *count, unsigned *ret)
{
	const struct space_word *found = key ? table_find(known, key, size) : NULL;
	*ret = found ? (unsigned)(found - words) : *count;
	if (!key || found)
		return key ? 0 : -ENOMEM;
	return table_add(known, key, size, &words[(*count)++]);
}

static int add_groups(struct space *space, struct table *known, const struct rules *rules,
		      unsigned *names)
{
	char text[POLICY_WORD_MAX];
	int r = 0;
	for (unsigned i = 0; r == 0 && i < rules->group_count; i++) {
		size_t size = 0;
		const void *key = group_key(space->arena, &rules->groups[i], &size);
		r = intern(known, key, size, space->groups, &space->group_count, &names[i]);
		struct space_word *word = &space->groups[names[i]];
		if (r < 0 || word->group)
			continue;
		word->group = &rules->groups[i];
		word->name = arena_text(space->arena, policy_group_text(rules, i, text));
		r = word->name ? 0 : -ENOMEM;
	}
	return r;
}

static int add_nets(struct space *space, struct table *known, const struct rules *rules,
		    unsigned *names)
{
	char text[POLICY_WORD_MAX];
	int r = 0;
	for (unsigned i = 0; r == 0 && i < rules->net_count; i++) {
		size_t size = 0;
		const void *key = net_key(space->arena, &rules->nets[i], &size);
		r = intern(known, key, size, space->nets, &space->net_count, &names[i]);
		struct space_word *word = &space->nets[names[i]];
		if (r < 0 || word->net)
			continue;
		word->net = &rules->nets[i];
		word->name = arena_text(space->arena, policy_net_text(rules, i, text));
		r = word->name ? 0 : -ENOMEM;
	}
	return r;
}

static bool uses_own(const struct rules *rules, enum filter_program program)
{
	unsigned count;
	const struct rule *list = rules_of(rules, program, &count);
	for (unsigned i = 0; i < count; i++)
		if (list[i].own)
			return true;
	return false;
}

// What nothing goes to: the addresses of a node of which nothing is known, so that they are none of those that a rule names.
static const struct rule_net nowhere = {
	.prefixes = (const struct prefix[]){{{.family = AF_INET}, 32}, {{.family = AF_INET6}, 128}},
	.prefix_count = 2,
};

static int add_own(struct space *space, struct table *known, const struct rule_net *own,
		   unsigned *ret)
{
	size_t size = 0;
	const void *key = net_key(space->arena, own, &size);
	int r = intern(known, key, size, space->nets, &space->net_count, ret);
	if (r == 0 && !space->nets[*ret].net)
		space->nets[*ret] = (struct space_word){.name = "this node itself", .net = own};
	return r;
}

static bool names_init(struct space_names *names, const struct rules *rules)
{
	names->groups = calloc(rules->group_count + 1u, sizeof(unsigned));
	names->nets = calloc(rules->net_count + 1u, sizeof(unsigned));
	return names->groups && names->nets;
}

void space_names_done(struct space_names *names)
{
	free(names->groups);
	free(names->nets);
}

static int add_words(struct space *space, struct table *known, const struct rules *rules,
		     struct space_names *names)
{
	int r = names_init(names, rules) ? 0 : -ENOMEM;
	if (r == 0)
		r = add_groups(space, known, rules, names->groups);
	return r < 0 ? r : add_nets(space, known, rules, names->nets);
}

int space_words_make(struct space *space, const struct rules *old, const struct rules *new,
		     enum filter_program program, const struct rule_net *own,
		     struct space_names *ret_old, struct space_names *ret_new)
{
	_cleanup_(table_freep) struct table *known = table_new();
	size_t groups = (size_t)old->group_count + new->group_count + 1;
	size_t nets = (size_t)old->net_count + new->net_count + 2;
	space->groups = arena_alloc(space->arena, groups, sizeof(*space->groups));
	space->nets = arena_alloc(space->arena, nets, sizeof(*space->nets));
	if (!known || !space->groups || !space->nets)
		return -ENOMEM;
	int r = add_words(space, known, old, ret_old);
	if (r == 0)
		r = add_words(space, known, new, ret_new);
	if (r == 0 && (uses_own(old, program) || uses_own(new, program)))
		r = add_own(space, known, own ? own : &nowhere, &ret_old->own);
	ret_new->own = ret_old->own;
	return r;
}
