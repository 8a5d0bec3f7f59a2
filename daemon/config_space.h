// SPDX-License-Identifier: Apache-2.0
// Whose address space is what: pools, networks of sites, fixed addresses, and what is translated. For the files config*.c.
#pragma once

#include <stdbool.h>

struct config;
struct config_reader;
struct rule_group;

void config_space_check(struct config_reader *reader);
// Whether profiles name groups that the policy has; once its model is there.
void config_space_check_groups(struct config_reader *reader);
// Whether a profile names the group.
bool config_space_uses(const struct config *config, const char *word);
// The group of the model that a word such as "group:contractors" names; NULL: it names none.
const struct rule_group *config_space_group(const struct config *config, const char *word);
