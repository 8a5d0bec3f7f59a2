// SPDX-License-Identifier: Apache-2.0
// For `mutun policy explain`: what the ends of the tunnel that a packet takes say of it, this node and its peer (daemon/explain.h).
#pragma once

#include <stdbool.h>
#include <jansson.h>

struct error;

struct both_ends {
	const char *from, *to; // identity or address; NULL: this node; an address
	const char *service;   // as policies have them: "tcp/22"
};

// Asks the running daemon. A new array, an object for each end; NULL with the reason in `error`.
json_t *both_ends_ask(const struct both_ends *question, struct error *error);
// A line for each. Without `here`, not what this node itself says.
void both_ends_print(const json_t *ends, bool here);
// Whether all of those that are known let it pass.
bool both_ends_allow(const json_t *ends);
