// SPDX-License-Identifier: Apache-2.0
// Values of the files -> fields of struct config, driven by the table of settings. Only for the files config*.c.
#pragma once

#include <stdbool.h>
#include <libconfig.h>

#include "daemon/config_report.h"
#include "daemon/config_source.h"

struct config;
struct setting;

// Every element that stands in a file has its place in the arrays of `config`, zero where it could not be read, so that
// element n can be found again in the files.
struct config_reader {
	struct config *config;
	struct config_errors *errors, *warnings;
	struct config_source **sources;
	unsigned source_count;
	bool broken;	  // a file could not be parsed: what is missing may stand in it
	bool only_policy; // the files hold nothing else, and nothing else is missing
	bool out_of_memory;
};

// Reads all sources, fills in the defaults, and says what is unknown, of the wrong type, out of range or missing.
void config_read_sources(struct config_reader *reader);

// Reads one element of a list, whose members are settings of `group` ("links[]."), into a struct at `base`, with defaults.
void config_read_element(struct config_reader *reader, const char *group,
			 const config_setting_t *element, void *base);
// What stands in one file for a setting at the top ("links") or in groups ("gateway.dns.servers"). NULL: nothing.
const config_setting_t *config_read_find(const struct config_source *source, const char *path);
// Where element `n` of an array or list, merged over the files, stands. With n = 0 also where a scalar stands.
// Never NULL where the element is in `config`.
const config_setting_t *config_read_place(const struct config_reader *reader, const char *path,
					  unsigned n);
