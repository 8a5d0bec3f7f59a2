// SPDX-License-Identifier: Apache-2.0

#include "server/diff_tree.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/table.h"

struct diff_tree {
	struct arena *arena;
	struct table *nodes;
};

static bool set_append(struct diff_set *set, const unsigned *atoms, size_t count)
{
	unsigned *grown = reallocarray(set->atoms, set->count + count + 1, sizeof(*grown));
	if (!grown)
		return false;
	set->atoms = grown;
	if (count)
		memcpy(grown + set->count, atoms, count * sizeof(*grown));
	set->count += count;
	return true;
}

bool diff_set_add(struct diff_set *set, unsigned atom)
{
	return set_append(set, &atom, 1);
}

void diff_set_done(struct diff_set *set)
{
	free(set->atoms);
}

bool diff_branches_add(struct diff_branches *branches, const struct diff_node *node,
		       const unsigned *atoms, size_t count)
{
	size_t at = 0;
	while (at < branches->count && branches->list[at].node != node)
		at++;
	if (at == branches->count) {
		struct diff_branch *grown =
			reallocarray(branches->list, branches->count + 1, sizeof(*grown));
		if (!grown)
			return false;
		branches->list = grown;
		grown[branches->count++] = (struct diff_branch){.node = node};
	}
	return set_append(&branches->list[at].set, atoms, count);
}

void diff_branches_done(struct diff_branches *branches)
{
	for (size_t i = 0; i < branches->count; i++)
		free(branches->list[i].set.atoms);
	free(branches->list);
}

struct diff_tree *diff_tree_new(void)
{
	_cleanup_(diff_tree_freep) struct diff_tree *tree = calloc(1, sizeof(*tree));
	if (!tree)
		return NULL;
	tree->arena = arena_new();
	tree->nodes = table_new();
	return tree->arena && tree->nodes ? take(tree) : NULL;
}

struct diff_tree *diff_tree_free(struct diff_tree *tree)
{
	if (!tree)
		return NULL;
	table_free(tree->nodes);
	arena_free(tree->arena);
	free(tree);
	return NULL;
}

static int compare_atoms(const void *left, const void *right)
{
	const unsigned *a = left, *b = right;
	return *a < *b ? -1 : *a > *b;
}

static int compare_branches(const void *left, const void *right)
{
	const struct diff_branch *a = left, *b = right;
	return compare_atoms(a->set.atoms, b->set.atoms);
}

// A set as it goes into a key: its length, then its atoms.
static uint64_t *put_set(uint64_t *to, const struct diff_set *set)
{
	*to++ = set->count;
	for (size_t i = 0; i < set->count; i++)
		*to++ = set->atoms[i];
	return to;
}

static bool copy_set(struct diff_tree *tree, const struct diff_set *from, struct diff_set *ret)
{
	ret->atoms = arena_copy(tree->arena, from->atoms, from->count, sizeof(*from->atoms));
	ret->count = from->count;
	return ret->atoms;
}

const struct diff_node *diff_tree_leaf(struct diff_tree *tree, const struct diff_set *gained,
				       const struct diff_set *lost)
{
	size_t words = 3 + gained->count + lost->count;
	uint64_t *key = arena_alloc(tree->arena, words, sizeof(*key));
	if (!key)
		return NULL;
	put_set(put_set(key + 1, gained), lost);
	struct diff_node *node = table_find(tree->nodes, key, words * sizeof(*key));
	if (node)
		return node;
	node = arena_alloc(tree->arena, 1, sizeof(*node));
	if (!node || !copy_set(tree, gained, &node->gained) || !copy_set(tree, lost, &node->lost) ||
	    table_add(tree->nodes, key, words * sizeof(*key), node) < 0)
		return NULL;
	return node;
}

const struct diff_node *diff_tree_node(struct diff_tree *tree, struct diff_branches *branches)
{
	size_t words = 1;
	for (size_t i = 0; i < branches->count; i++) {
		struct diff_set *set = &branches->list[i].set;
		qsort(set->atoms, set->count, sizeof(*set->atoms), compare_atoms);
		words += 2 + set->count;
	}
	qsort(branches->list, branches->count, sizeof(*branches->list), compare_branches);
	uint64_t *key = arena_alloc(tree->arena, words, sizeof(*key)), *to = key;
	if (!key)
		return NULL;
	*to++ = branches->count;
	for (size_t i = 0; i < branches->count; i++) {
		*to++ = (uint64_t)(uintptr_t)branches->list[i].node;
		to = put_set(to, &branches->list[i].set);
	}
	struct diff_node *node = table_find(tree->nodes, key, words * sizeof(*key));
	if (node)
		return node;
	node = arena_alloc(tree->arena, 1, sizeof(*node));
	if (!node)
		return NULL;
	node->count = branches->count;
	node->branches = arena_alloc(tree->arena, branches->count, sizeof(*node->branches));
	for (size_t i = 0; node->branches && i < branches->count; i++) {
		node->branches[i].node = branches->list[i].node;
		if (!copy_set(tree, &branches->list[i].set, &node->branches[i].set))
			return NULL;
	}
	return node->branches && table_add(tree->nodes, key, words * sizeof(*key), node) == 0
		       ? node
		       : NULL;
}

static bool set_has(const struct diff_set *set, unsigned atom)
{
	return bsearch(&atom, set->atoms, set->count, sizeof(atom), compare_atoms);
}

int diff_tree_find(const struct diff_node *root, const unsigned *atoms)
{
	const struct diff_node *node = root;
	unsigned level = 0;
	for (; level < DIFF_SERVICE; level++) {
		const struct diff_node *next = NULL;
		for (size_t i = 0; !next && i < node->count; i++)
			if (set_has(&node->branches[i].set, atoms[level]))
				next = node->branches[i].node;
		if (!next)
			return 0;
		node = next;
	}
	return set_has(&node->gained, atoms[level]) ? 1
	       : set_has(&node->lost, atoms[level]) ? -1
						    : 0;
}
