// SPDX-License-Identifier: Apache-2.0
// What does not go together in a policy, as errors and warnings with their places. Only for the files config*.c.
#pragma once

#include <libconfig.h>

struct config_names;
struct config_reader;
struct rule_side;

// One side of a rule, whose words stand at `array`.
void config_policy_check_side(struct config_reader *reader, const config_setting_t *array,
			      const struct rule_side *side);
// All of `reader->config->policy.model`.
void config_policy_check(struct config_reader *reader, const struct config_names *names);
