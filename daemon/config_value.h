// SPDX-License-Identifier: Apache-2.0
// One value of a file -> one field. What is wrong becomes an error of the reader, and the field stays as it is. Only for the
// files config*.c.
#pragma once

#include <stdbool.h>
#include <libconfig.h>

struct config_reader;
struct setting;

void config_value_integer(struct config_reader *reader, const struct setting *setting,
			  const config_setting_t *at, unsigned *field);
void config_value_boolean(struct config_reader *reader, const struct setting *setting,
			  const config_setting_t *at, bool *field);
// A value that is written as a string, alone or as an element of an array. The type of `field` is that of the setting: char *,
// enum log_level, struct endpoint, struct config_target or struct prefix.
void config_value_text(struct config_reader *reader, const struct setting *setting,
		       const config_setting_t *at, void *field);
// "found 5; expected a path such as ...".
void config_value_fault(struct config_reader *reader, const struct setting *setting,
			const config_setting_t *at);
// The same of one element of an array, with a reason, which may be NULL or empty.
void config_value_fault_element(struct config_reader *reader, const struct setting *setting,
				const config_setting_t *at, const char *reason);
