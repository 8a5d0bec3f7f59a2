// SPDX-License-Identifier: Apache-2.0
// The tests of a policy, from settings to what policy_trial() runs; and times, as tests and rules have them. Only for the files
// config*.c.
#pragma once

#include <stdbool.h>
#include <time.h>
#include <libconfig.h>

struct config_names;
struct config_reader;
struct config_test;
struct zone;

// Makes `reader->config->policy.trials`, and says what is wrong with them.
void config_trial_read(struct config_reader *reader, struct config_names *names);
// Of what was read, before it became trials.
void config_trial_free_written(struct config_test *tests, unsigned count);
// The moment that stands `at`; with `days`, also a date alone. 0: it is wrong, which is told.
time_t config_trial_moment(struct config_reader *reader, const config_setting_t *at,
			   const struct zone *zone, bool days);
