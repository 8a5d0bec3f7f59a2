// SPDX-License-Identifier: Apache-2.0
// From the settings of `policy` to its model: names become what they stand for, words and services what the filter compares. Only
// for the files config*.c.
#pragma once

#include <libconfig.h>

struct config_policy;
struct config_reader;

// After config_read_sources(): makes `reader->config->policy.model` and `trials`, and says what is wrong or hardly meant.
void config_policy_build(struct config_reader *reader);
void config_policy_done(struct config_policy *policy);
// "policy.conf:34" of what stands `at`: short, as it goes into logs and to callers; in the arena. NULL: out of memory.
const char *config_policy_place(struct config_reader *reader, const config_setting_t *at);
