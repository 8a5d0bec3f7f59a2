// SPDX-License-Identifier: Apache-2.0
// Whom this node believes, as it is configured: what of it does not go together, and what pki/trust.h makes of it.
#pragma once

#include <stdbool.h>

struct config_node;
struct config_reader;
struct error;
struct mapping;
struct trust;

// Says what is wrong with rules that make identities of names, and with pins.
void config_trust_check(struct config_reader *reader);

// The rules by which this node's own certificate gets its identity; NULL: there are none. Returns a new object. -ENOMEM.
int config_trust_mapping(const struct config_node *node, struct mapping **ret);
// Reads the files. `identity` is that of this node, whose trust domain is the own one. Returns a new reference. As trust_load().
int config_trust_load(const struct config_node *node, const char *identity, struct trust **ret,
		      struct error *error);
// Whether both name the same files, rules and pins.
bool config_trust_same(const struct config_node *a, const struct config_node *b);
