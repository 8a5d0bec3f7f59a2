// SPDX-License-Identifier: Apache-2.0
// The addresses of a space. Only for the files policy_space.c, policy_diff.c and space_*.c.
#pragma once

struct space;

// Makes space->addrs and the sets of space->nets. -ENOMEM.
int space_addrs_make(struct space *space);
