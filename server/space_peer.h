// SPDX-License-Identifier: Apache-2.0
// The peers of a space. Only for the files policy_space.c, policy_diff.c and space_*.c.
#pragma once

struct space;

// Makes space->peers and the sets of space->groups. -ENOMEM.
int space_peers_make(struct space *space);
