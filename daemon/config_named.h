// SPDX-License-Identifier: Apache-2.0
// What stands under names of its own choosing in a policy: policy.groups, policy.networks, policy.hosts, policy.services. Only for
// the files config*.c.
#pragma once

#include <stdbool.h>
#include <libconfig.h>

#include "server/policy_service.h"

struct arena;
struct config_names;
struct config_reader;

#define CONFIG_NAMED_MAX 65536u // entries of one name

// Adds all of them to `names`; entries of later files are appended to those of earlier ones. False: out of memory.
bool config_named_read(struct config_reader *reader, struct config_names *names);
// Whether a word is a name by its form: "group:...", "net:...", "host:...", "service:...".
bool config_named_is(const char *word);
// Where such a word is defined: "policy.groups".
const char *config_named_section(const char *word);
// A copy of an issuer's name in the arena, as certificates are compared: RFC 2253, without spaces behind its commas. NULL: out of
// memory.
char *config_named_issuer(struct arena *arena, const char *text);
// A service that is no name, and stands `at`. The number of parts; 0: it is wrong, which is told.
unsigned config_named_service(struct config_reader *reader, const config_setting_t *at,
			      struct rule_service ret[POLICY_SERVICE_PARTS]);
