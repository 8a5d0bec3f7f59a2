// SPDX-License-Identifier: Apache-2.0
// Theory of operation: rules are listed under each word of their `from` and of their `to`. What covers a rule must stand under its
// first word, under a word that covers that one, or under "any"; of the two sides the one with fewer candidates is taken.

#include "server/policy_shadow.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "server/policy_cover.h"

#define WORD_PAIRS_MAX 4000000u	 // compared, of each kind
#define RULE_PAIRS_MAX 20000000u // compared

struct list { // of numbers
	unsigned *items;
	unsigned count;
};

// A word is a group by its position, a network by group_count + its position, and "any" behind them.
struct shadows {
	const struct rules *rules;
	const struct rule *list;
	unsigned count, words;
	struct list *covers;	// of a word: the others that cover it
	struct list *from, *to; // of a word: rules
	unsigned left;		// pairs
};

static bool list_add(struct list *list, unsigned item)
{
	if ((list->count & (list->count - 1)) == 0) {
		unsigned *grown = reallocarray(list->items, list->count ? list->count * 2 : 1,
					       sizeof(*grown));
		if (!grown)
			return false;
		list->items = grown;
	}
	list->items[list->count++] = item;
	return true;
}

static bool list_has(const struct list *list, unsigned item)
{
	for (unsigned i = 0; i < list->count; i++)
		if (list->items[i] == item)
			return true;
	return false;
}

static struct list *lists_free(struct list *lists, unsigned count)
{
	for (unsigned i = 0; lists && i < count; i++)
		free(lists[i].items);
	free(lists);
	return NULL;
}

// Only what has several entries, a wildcard, or says nothing of the identity can cover another group.
static bool is_wide(const struct rule_group *group)
{
	bool wide = group->peer_count > 1;
	for (unsigned i = 0; i < group->peer_count; i++)
		wide |= !group->peers[i].identity || strchr(group->peers[i].identity, '*');
	return wide;
}

static bool find_group_covers(struct shadows *shadows)
{
	const struct rules *rules = shadows->rules;
	unsigned left = WORD_PAIRS_MAX;
	for (unsigned i = 0; i < rules->group_count; i++) {
		if (!is_wide(&rules->groups[i]))
			continue;
		for (unsigned j = 0; j < rules->group_count && left > 0; j++, left--)
			if (i != j && policy_group_covers(&rules->groups[i], &rules->groups[j]) &&
			    !list_add(&shadows->covers[j], i))
				return false;
	}
	return true;
}

static bool find_net_covers(struct shadows *shadows)
{
	const struct rules *rules = shadows->rules;
	struct list *covers = shadows->covers + rules->group_count;
	unsigned left = WORD_PAIRS_MAX;
	for (unsigned i = 0; i < rules->net_count; i++)
		for (unsigned j = 0; j < rules->net_count && left > 0; j++, left--)
			if (i != j && policy_net_covers(&rules->nets[i], &rules->nets[j]) &&
			    !list_add(&covers[j], rules->group_count + i))
				return false;
	return true;
}

// Word `n` of a side, -1 past the end.
static long side_word(const struct shadows *shadows, const struct rule_side *side, unsigned n)
{
	if (side->any)
		return n == 0 ? (long)shadows->words - 1 : -1;
	if (n < side->group_count)
		return side->groups[n];
	n -= side->group_count;
	return n < side->net_count ? (long)(shadows->rules->group_count + side->nets[n]) : -1;
}

static bool index_side(const struct shadows *shadows, struct list *lists,
		       const struct rule_side *side, unsigned rule)
{
	long word;
	for (unsigned n = 0; (word = side_word(shadows, side, n)) >= 0; n++)
		if (!list_add(&lists[word], rule))
			return false;
	return true;
}

static bool has_word(const struct shadows *shadows, const struct rule_side *side, unsigned word)
{
	long other;
	for (unsigned n = 0; (other = side_word(shadows, side, n)) >= 0; n++)
		if ((unsigned)other == word || list_has(&shadows->covers[word], (unsigned)other))
			return true;
	return false;
}

static bool side_covers(const struct shadows *shadows, const struct rule_side *wide,
			const struct rule_side *narrow)
{
	long word;
	if (wide->any || narrow->any)
		return wide->any;
	unsigned n = 0;
	for (; (word = side_word(shadows, narrow, n)) >= 0; n++)
		if (!has_word(shadows, wide, (unsigned)word))
			return false;
	return n > 0;
}

static bool rule_covers(const struct shadows *shadows, const struct rule *wide,
			const struct rule *narrow)
{
	return side_covers(shadows, &wide->from, &narrow->from) &&
	       side_covers(shadows, &wide->to, &narrow->to) &&
	       policy_services_cover(wide, narrow) && policy_times_cover(wide, narrow);
}

static bool may_shadow(const struct shadows *shadows, unsigned by, unsigned rule)
{
	bool deny = shadows->list[rule].deny;
	return by != rule && (shadows->list[by].deny != deny ? !deny : by < rule);
}

// How many rules stand under the word and those that cover it.
static size_t candidates(const struct shadows *shadows, const struct list *lists, unsigned word)
{
	size_t count = lists[word].count + lists[shadows->words - 1].count;
	for (unsigned i = 0; i < shadows->covers[word].count; i++)
		count += lists[shadows->covers[word].items[i]].count;
	return count;
}

// Looks through one list; true: one was found.
static bool search(struct shadows *shadows, const struct list *list, unsigned rule,
		   struct shadow *ret)
{
	for (unsigned i = 0; i < list->count && shadows->left > 0; i++) {
		unsigned by = list->items[i];
		shadows->left--;
		if (!may_shadow(shadows, by, rule) ||
		    !rule_covers(shadows, &shadows->list[by], &shadows->list[rule]))
			continue;
		ret->by = by;
		ret->same = shadows->list[by].deny == shadows->list[rule].deny &&
			    shadows->list[by].log == shadows->list[rule].log &&
			    rule_covers(shadows, &shadows->list[rule], &shadows->list[by]);
		return true;
	}
	return false;
}

static bool find_shadow(struct shadows *shadows, unsigned rule, struct shadow *ret)
{
	long from = side_word(shadows, &shadows->list[rule].from, 0);
	long to = side_word(shadows, &shadows->list[rule].to, 0);
	if (from < 0 || to < 0)
		return false;
	bool less = candidates(shadows, shadows->from, (unsigned)from) <=
		    candidates(shadows, shadows->to, (unsigned)to);
	const struct list *lists = less ? shadows->from : shadows->to;
	unsigned word = (unsigned)(less ? from : to), any = shadows->words - 1;
	bool found = search(shadows, &lists[word], rule, ret) ||
		     (word != any && search(shadows, &lists[any], rule, ret));
	for (unsigned i = 0; !found && i < shadows->covers[word].count; i++)
		found = search(shadows, &lists[shadows->covers[word].items[i]], rule, ret);
	return found;
}

static void shadows_done(struct shadows *shadows)
{
	lists_free(shadows->covers, shadows->words);
	lists_free(shadows->from, shadows->words);
	lists_free(shadows->to, shadows->words);
}

int policy_shadows(const struct rules *rules, enum filter_program program,
		   void (*found)(const struct shadow *shadow, void *data), void *data)
{
	_cleanup_(shadows_done) struct shadows shadows = {
		.rules = rules,
		.words = rules->group_count + rules->net_count + 1,
		.left = RULE_PAIRS_MAX,
	};
	shadows.list = rules_of(rules, program, &shadows.count);
	shadows.covers = calloc(shadows.words, sizeof(struct list));
	shadows.from = calloc(shadows.words, sizeof(struct list));
	shadows.to = calloc(shadows.words, sizeof(struct list));
	if (!shadows.covers || !shadows.from || !shadows.to || !find_group_covers(&shadows) ||
	    !find_net_covers(&shadows))
		return -ENOMEM;
	for (unsigned i = 0; i < shadows.count; i++)
		if (!index_side(&shadows, shadows.from, &shadows.list[i].from, i) ||
		    !index_side(&shadows, shadows.to, &shadows.list[i].to, i))
			return -ENOMEM;
	for (unsigned i = 0; i < shadows.count; i++) {
		struct shadow shadow = {.program = program, .rule = i};
		if (find_shadow(&shadows, i, &shadow))
			found(&shadow, data);
	}
	return 0;
}

// --- names for the same

struct content {
	uint64_t hash;
	unsigned position;
};

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
	const uint8_t *byte = bytes;
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ byte[i]) * 0x100000001b3u;
	return hash;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
	return hash_bytes(hash, text ? text : "", text ? strlen(text) + 1 : 1);
}

// The order of entries says nothing.
static uint64_t group_hash(const struct rule_group *group)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < group->peer_count; i++) {
		const struct rule_peer *peer = &group->peers[i];
		uint64_t hash = hash_text(14695981039346656037u, peer->identity);
		hash = hash_text(hash_text(hash, peer->issuer), peer->unit);
		sum += hash_bytes(hash, &peer->hardware, sizeof(peer->hardware));
	}
	return sum;
}

static uint64_t net_hash(const struct rule_net *net)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < net->prefix_count; i++) {
		const struct prefix *prefix = &net->prefixes[i];
		uint64_t hash = hash_bytes(14695981039346656037u, prefix->addr.bytes, 16);
		const uint8_t rest[] = {prefix->addr.family, prefix->length};
		sum += hash_bytes(hash, rest, sizeof(rest));
	}
	return sum;
}

static int compare_contents(const void *left, const void *right)
{
	const struct content *a = left, *b = right;
	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	return a->position < b->position ? -1 : 1;
}

static bool are_twins(const struct rules *rules, const struct twin *twin)
{
	const struct rule_group *group = &rules->groups[twin->net ? 0 : twin->first];
	const struct rule_group *other = &rules->groups[twin->net ? 0 : twin->second];
	if (!twin->net)
		return policy_group_covers(group, other) && policy_group_covers(other, group);
	const struct rule_net *net = &rules->nets[twin->first],
			      *second = &rules->nets[twin->second];
	return policy_net_covers(net, second) && policy_net_covers(second, net);
}

static void tell_twins(const struct rules *rules, struct content *contents, unsigned count,
		       bool net, void (*found)(const struct twin *twin, void *data), void *data)
{
	qsort(contents, count, sizeof(*contents), compare_contents);
	for (unsigned i = 1; i < count; i++) {
		struct twin twin = {
			.net = net,
			.first = contents[i - 1].position,
			.second = contents[i].position,
		};
		if (contents[i].hash == contents[i - 1].hash && are_twins(rules, &twin))
			found(&twin, data);
	}
}

int policy_twins(const struct rules *rules, void (*found)(const struct twin *twin, void *data),
		 void *data)
{
	unsigned most = rules->group_count + rules->net_count + 1, count = 0;
	_cleanup_(freep) struct content *contents = calloc(most, sizeof(*contents));
	if (!contents)
		return -ENOMEM;
	for (unsigned i = 0; i < rules->group_count; i++)
		if (rules->groups[i].name)
			contents[count++] = (struct content){group_hash(&rules->groups[i]), i};
	tell_twins(rules, contents, count, false, found, data);
	count = 0;
	for (unsigned i = 0; i < rules->net_count; i++)
		if (rules->nets[i].name)
			contents[count++] = (struct content){net_hash(&rules->nets[i]), i};
	tell_twins(rules, contents, count, true, found, data);
	return 0;
}
