// SPDX-License-Identifier: Apache-2.0
// The names of a policy and what they stand for (groups; networks and hosts; services), and the words of rules, which use them.
// Only for the files config*.c.
#pragma once

#include <stdbool.h>
#include <libconfig.h>

#include "base/cleanup.h"
#include "tun/rule.h"

struct config_names;
struct config_reader;

// What one word of `from` or `to` stands for.
struct config_word {
	bool any;
	unsigned group, net; // position; RULE_NONE: none
};

// Nothing but "self" yet. What is made lives in `reader->config->policy.arena`. Returns a new object; NULL: out of memory.
struct config_names *config_names_new(struct config_reader *reader);
struct config_names *config_names_free(struct config_names *names); // takes NULL, returns NULL
DEFINE_CLEANUP(struct config_names *, config_names_free);

// Each adds what `word` ("group:engineers") stands for, which is defined `at`; `word` is copied, and what it stands for is in the
// arena already. False: out of memory.
bool config_names_add_group(struct config_names *names, const char *word,
			    const struct rule_peer *peers, unsigned count,
			    const config_setting_t *at);
bool config_names_add_net(struct config_names *names, const char *word,
			  const struct prefix *prefixes, unsigned count,
			  const config_setting_t *at);
bool config_names_add_services(struct config_names *names, const char *word,
			       const struct rule_service *services, unsigned count,
			       const config_setting_t *at);
bool config_names_has(const struct config_names *names, const char *word);

// The word that stands `at`. False: it is an error, which is told.
bool config_names_word(struct config_names *names, const config_setting_t *at,
		       struct config_word *ret);
// The services of an array, all of their alternatives, in the arena. What is wrong is told and left out. NULL: out of memory.
const struct rule_service *config_names_services(struct config_names *names,
						 const config_setting_t *array,
						 unsigned *ret_count);

// The groups and networks, copied into the arena, by name in the form of words. -ENOMEM.
int config_names_model(const struct config_names *names, struct rules *ret);
// Where a group or a network stands first; NULL: nowhere ("self").
const config_setting_t *config_names_group_place(const struct config_names *names,
						 unsigned position);
const config_setting_t *config_names_net_place(const struct config_names *names, unsigned position);
// Warns of services that no rule and no test uses.
void config_names_check_services(const struct config_names *names);
