// SPDX-License-Identifier: Apache-2.0
// Protocol and destination port -> rules of one program that have such a service. Immutable: any thread may ask.
#pragma once

#include <stdint.h>

#include "base/cleanup.h"
#include "tun/rule.h"
#include "tun/ruleset.h"

struct ports;

// Numbers are places in `order`, which it does not keep. NULL: out of memory.
struct ports *ports_new(const struct rule_order *order);
struct ports *ports_free(struct ports *ports); // takes NULL, returns NULL
DEFINE_CLEANUP(struct ports *, ports_free);

// Adds to `any`, which has room for three. `port` as in struct filter_question.
void ports_find(const struct ports *ports, uint8_t protocol, uint16_t port,
		struct ruleset_any *any);
