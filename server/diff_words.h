// SPDX-License-Identifier: Apache-2.0
// A tree of differences in words. Only for the files policy_diff.c and diff_*.c.
#pragma once

struct diff_node;
struct policy_change;
struct space;

// -ENOMEM.
int diff_words_each(const struct space *space, const struct diff_node *root,
		    void (*each)(const struct policy_change *change, void *data), void *data);
