// SPDX-License-Identifier: Apache-2.0
// Values of what a gateway pushes, and to whom: words for identities, names of the DNS, rates. Only for config_value.c.
#pragma once

#include <libconfig.h>

struct config_reader;
struct setting;

// As config_value_text(), of SETTING_WHO and SETTING_NAMES (char *) and SETTING_RATE (uint64_t).
void config_push_value(struct config_reader *reader, const struct setting *setting,
		       const config_setting_t *at, void *field);
