// SPDX-License-Identifier: Apache-2.0
// A tree of differences in which equal nodes are one. Only for the files policy_diff.c and diff_*.c.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

enum diff_level { DIFF_FROM_PEER, DIFF_FROM_ADDR, DIFF_TO_PEER, DIFF_TO_ADDR, DIFF_SERVICE };

struct diff_set { // of atoms, ascending
	unsigned *atoms;
	size_t count;
};
bool diff_set_add(struct diff_set *set, unsigned atom); // false: out of memory
void diff_set_done(struct diff_set *set);

struct diff_node {
	size_t count; // of branches; 0: a leaf
	struct diff_branch {
		const struct diff_node *node;
		struct diff_set set;
	} * branches;
	struct diff_set gained, lost; // of a leaf: services
};

struct diff_branches { // being gathered
	struct diff_branch *list;
	size_t count;
};
// Atoms (copied) that lead to this node, together with others that do. false: out of memory.
bool diff_branches_add(struct diff_branches *branches, const struct diff_node *node,
		       const unsigned *atoms, size_t count);
void diff_branches_done(struct diff_branches *branches);

struct diff_tree;
struct diff_tree *diff_tree_new(void); // NULL: out of memory
struct diff_tree *diff_tree_free(struct diff_tree *tree);
DEFINE_CLEANUP(struct diff_tree *, diff_tree_free);
// The node that is equal, or a new one; both copy. NULL: out of memory.
const struct diff_node *diff_tree_leaf(struct diff_tree *tree, const struct diff_set *gained,
				       const struct diff_set *lost);
const struct diff_node *diff_tree_node(struct diff_tree *tree, struct diff_branches *branches);
// Which way the leaf lies to which these atoms, one of each level, lead: 1 gained, -1 lost, 0 neither.
int diff_tree_find(const struct diff_node *root, const unsigned *atoms);
