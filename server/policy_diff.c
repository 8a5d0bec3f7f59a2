// SPDX-License-Identifier: Apache-2.0
// Theory of operation: a question has five parts (peer and address at either end, service). One after the other, its atoms are put into
// classes by the words of the rules that are still possible; each class goes on with the rules that are left to it. A class ends early
// when none of its rules is in one policy only, or none allows anything: that is most of them. What comes out is a tree in which
// equal branches are one, so that classes between which nothing differs come together again.

#include "server/policy_diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "server/diff_tree.h"
#include "server/diff_words.h"
#include "server/policy_space.h"

#define WORK_MAX UINT64_C(300000000) // rules looked at, over all classes

// A rule that is still possible, and which of its sides match already.
struct candidate {
	unsigned rule;
	bool from, to;
};

struct policy_diff {
	struct space *space;
	struct diff_tree *tree;
	const struct diff_node *root; // NULL: no difference
	uint64_t work;
	uint64_t *marks;  // of atoms of the dimension at hand: the words they are in, summed up
	unsigned *stamps; // of words
	unsigned stamp;
	bool no_memory, cut;
};

// Atoms by the words they are in.
struct classes {
	unsigned *atoms; // sorted by class
	size_t *starts;	 // of class n; one more at the end
	size_t count;
	bool rest; // the last one is all atoms of no word
};

static void classes_done(struct classes *classes)
{
	free(classes->atoms);
	free(classes->starts);
}

static bool is_peer_level(enum diff_level level)
{
	return level == DIFF_FROM_PEER || level == DIFF_TO_PEER;
}

static bool is_from_level(enum diff_level level)
{
	return level == DIFF_FROM_PEER || level == DIFF_FROM_ADDR;
}

static size_t atoms_of(const struct space *space, enum diff_level level)
{
	return is_peer_level(level) ? space->peer_count : space->addr_count;
}

static const struct space_side *side_of(const struct space *space,
					const struct candidate *candidate, enum diff_level level)
{
	const struct space_rule *rule = &space->rules[candidate->rule];
	return is_from_level(level) ? &rule->from : &rule->to;
}

static bool *matched_of(struct candidate *candidate, enum diff_level level)
{
	return is_from_level(level) ? &candidate->from : &candidate->to;
}

// --- classes

static void mark_word(struct policy_diff *diff, const struct space_set *set, unsigned word,
		      unsigned *touched, size_t *count)
{
	uint64_t hash = (word + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);
	hash = (hash ^ hash >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
	for (unsigned i = 0; i < set->count; i++) {
		if (diff->marks[set->atoms[i]] == 0)
			touched[(*count)++] = set->atoms[i];
		diff->marks[set->atoms[i]] += hash | 1;
	}
	diff->work += set->count;
}

static int compare_marks(const void *left, const void *right, void *data)
{
	const unsigned *a = left, *b = right;
	const uint64_t *marks = data;
	if (marks[*a] != marks[*b])
		return marks[*a] < marks[*b] ? -1 : 1;
	return *a < *b ? -1 : *a > *b;
}

static void add_rest(const struct space *space, enum diff_level level, const uint64_t *marks,
		     struct classes *classes, size_t touched)
{
	size_t all = atoms_of(space, level), end = touched;
	for (size_t i = 0; i < all; i++)
		if (marks[i] == 0 && (is_peer_level(level) || !space->addrs[i].empty))
			classes->atoms[end++] = (unsigned)i;
	if (end == touched)
		return;
	classes->rest = true;
	classes->starts[++classes->count] = end;
}

// The words of rules that are not matched on this side yet.
static bool make_classes(struct policy_diff *diff, enum diff_level level,
			 struct candidate *candidates, size_t count, struct classes *ret)
{
	const struct space *space = diff->space;
	size_t all = atoms_of(space, level), touched = 0;
	unsigned stamp = ++diff->stamp;
	ret->atoms = calloc(all + 1, sizeof(*ret->atoms));
	ret->starts = calloc(all + 2, sizeof(*ret->starts));
	if (!ret->atoms || !ret->starts)
		return false;
	for (size_t i = 0; i < count; i++) {
		const struct space_side *side = side_of(space, &candidates[i], level);
		bool peer = is_peer_level(level);
		const unsigned *words = peer ? side->groups : side->nets;
		unsigned word_count = peer ? side->group_count : side->net_count;
		for (unsigned j = 0; !*matched_of(&candidates[i], level) && j < word_count; j++) {
			if (diff->stamps[words[j]] == stamp)
				continue;
			diff->stamps[words[j]] = stamp;
			mark_word(diff,
				  peer ? &space->groups[words[j]].set : &space->nets[words[j]].set,
				  words[j], ret->atoms, &touched);
		}
	}
	if (touched)
		qsort_r(ret->atoms, touched, sizeof(*ret->atoms), compare_marks, diff->marks);
	for (size_t i = 1; i <= touched; i++)
		if (i == touched || diff->marks[ret->atoms[i]] != diff->marks[ret->atoms[i - 1]])
			ret->starts[++ret->count] = i;
	add_rest(space, level, diff->marks, ret, touched);
	for (size_t i = 0; i < touched; i++)
		diff->marks[ret->atoms[i]] = 0;
	return true;
}

static bool has_stamped(const struct policy_diff *diff, const unsigned *words, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (diff->stamps[words[i]] == diff->stamp)
			return true;
	return false;
}

// What is left of the rules in the class of this atom.
static size_t narrow(struct policy_diff *diff, enum diff_level level, unsigned atom,
		     const struct candidate *candidates, size_t count, struct candidate *ret)
{
	const struct space *space = diff->space;
	bool peer = is_peer_level(level);
	size_t kept = 0;
	diff->stamp++;
	for (const unsigned *word = peer ? space->peers[atom].groups : space->addrs[atom].nets;
	     *word != RULE_NONE; word++)
		diff->stamps[*word] = diff->stamp;
	for (size_t i = 0; i < count; i++) {
		struct candidate next = candidates[i];
		const struct space_side *side = side_of(space, &next, level);
		bool *matched = matched_of(&next, level);
		if (!*matched)
			*matched = has_stamped(diff, peer ? side->groups : side->nets,
					       peer ? side->group_count : side->net_count);
		if (*matched || (peer && side->net_count > 0))
			ret[kept++] = next;
	}
	diff->work += count;
	return kept;
}

// --- the tree

// Whether both policies say the same to all that is left.
static bool is_settled(const struct policy_diff *diff, const struct candidate *candidates,
		       size_t count)
{
	bool changed = false, allows = false;
	for (size_t i = 0; i < count; i++) {
		const struct space_rule *rule = &diff->space->rules[candidates[i].rule];
		changed |= rule->old != rule->new;
		allows |= !rule->deny;
		if (rule->deny && rule->old && rule->new &&candidates[i].from &&candidates[i].to &&
		    rule->services.count == diff->space->service_count)
			return true;
	}
	return !changed || !allows;
}

static const struct diff_node *make_leaf(struct policy_diff *diff,
					 const struct candidate *candidates, size_t count)
{
	enum { OLD_ALLOW = 1, OLD_DENY = 2, NEW_ALLOW = 4, NEW_DENY = 8 };
	const struct space *space = diff->space;
	_cleanup_(freep) uint8_t *bits = calloc(space->service_count + 1, 1);
	if (!bits) {
		diff->no_memory = true;
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		const struct space_rule *rule = &space->rules[candidates[i].rule];
		uint8_t own = (uint8_t)((rule->old ? (rule->deny ? OLD_DENY : OLD_ALLOW) : 0) |
					(rule->new ? (rule->deny ? NEW_DENY : NEW_ALLOW) : 0));
		for (unsigned j = 0; j < rule->services.count; j++)
			bits[rule->services.atoms[j]] |= own;
		diff->work += rule->services.count;
	}
	struct diff_set gained = {0}, lost = {0};
	bool good = true;
	for (size_t i = 0; good && i < space->service_count; i++) {
		bool old = (bits[i] & (OLD_ALLOW | OLD_DENY)) == OLD_ALLOW;
		bool new = (bits[i] & (NEW_ALLOW | NEW_DENY)) == NEW_ALLOW;
		if (old != new)
			good = diff_set_add(new ? &gained : &lost, (unsigned)i);
	}
	const struct diff_node *leaf = NULL;
	if (good && (gained.count || lost.count))
		good = (leaf = diff_tree_leaf(diff->tree, &gained, &lost)) != NULL;
	diff->no_memory |= !good;
	diff_set_done(&gained);
	diff_set_done(&lost);
	return leaf;
}

static const struct diff_node *explore(struct policy_diff *diff, enum diff_level level,
				       struct candidate *candidates, size_t count)
{
	_cleanup_(classes_done) struct classes classes = {0};
	_cleanup_(diff_branches_done) struct diff_branches branches = {0};
	_cleanup_(freep) struct candidate *left = NULL;
	diff->cut |= diff->work > WORK_MAX;
	if (diff->cut || diff->no_memory || is_settled(diff, candidates, count))
		return NULL;
	if (level == DIFF_SERVICE)
		return make_leaf(diff, candidates, count);
	left = calloc(count, sizeof(*left));
	diff->no_memory |= !left || !make_classes(diff, level, candidates, count, &classes);
	for (size_t i = 0; !diff->no_memory && i < classes.count; i++) {
		const unsigned *atoms = classes.atoms + classes.starts[i];
		size_t kept = narrow(diff, level, atoms[0], candidates, count, left);
		const struct diff_node *node = explore(diff, level + 1, left, kept);
		if (node && !diff_branches_add(&branches, node, atoms,
					       classes.starts[i + 1] - classes.starts[i]))
			diff->no_memory = true;
	}
	if (branches.count == 0 || diff->no_memory)
		return NULL;
	const struct diff_node *node = diff_tree_node(diff->tree, &branches);
	diff->no_memory |= !node;
	return node;
}

static int start(struct policy_diff *diff)
{
	const struct space *space = diff->space;
	size_t atoms =
		space->peer_count > space->addr_count ? space->peer_count : space->addr_count;
	unsigned words =
		space->group_count > space->net_count ? space->group_count : space->net_count;
	_cleanup_(freep) struct candidate *all = calloc(space->rule_count + 1, sizeof(*all));
	diff->marks = calloc(atoms + 1, sizeof(*diff->marks));
	diff->stamps = calloc(words + 1u, sizeof(*diff->stamps));
	diff->tree = diff_tree_new();
	if (!all || !diff->marks || !diff->stamps || !diff->tree)
		return -ENOMEM;
	for (unsigned i = 0; i < space->rule_count; i++)
		all[i] = (struct candidate){i, space->rules[i].from.any, space->rules[i].to.any};
	diff->cut = space->cut;
	bool cut = diff->cut;
	diff->cut = false;
	diff->root = explore(diff, DIFF_FROM_PEER, all, space->rule_count);
	diff->cut |= cut;
	return diff->no_memory ? -ENOMEM : 0;
}

int policy_diff_new(const struct rules *old, const struct rules *new, enum filter_program program,
		    time_t at, const struct rule_net *own, struct policy_diff **ret)
{
	_cleanup_(policy_diff_freep) struct policy_diff *diff = calloc(1, sizeof(*diff));
	int r = diff ? space_new(old, new, program, at, own, &diff->space) : -ENOMEM;
	if (r == 0)
		r = start(diff);
	if (r == 0)
		*ret = take(diff);
	return r;
}

struct policy_diff *policy_diff_free(struct policy_diff *diff)
{
	if (!diff)
		return NULL;
	diff_tree_free(diff->tree);
	space_free(diff->space);
	free(diff->marks);
	free(diff->stamps);
	free(diff);
	return NULL;
}

bool policy_diff_cut(const struct policy_diff *diff)
{
	return diff->cut;
}

int policy_diff_each(const struct policy_diff *diff,
		     void (*each)(const struct policy_change *change, void *data), void *data)
{
	return diff->root ? diff_words_each(diff->space, diff->root, each, data) : 0;
}

int policy_diff_at(const struct policy_diff *diff, const struct rule_question *question)
{
	unsigned atoms[DIFF_SERVICE + 1];
	if (!diff->root || !space_find(diff->space, question, atoms))
		return 0;
	return diff_tree_find(diff->root, atoms);
}
