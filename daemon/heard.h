// SPDX-License-Identifier: Apache-2.0
// What gateways heard nodes say of the CA certificates that they trust: from the mutund of this machine, and from files with what
// `mutun ca readiness --json` printed on others.
#pragma once

#include <stdbool.h>
#include <jansson.h>

struct error;
struct readiness;

// The answer of mutund, a new reference. As ask().
int heard_ask(json_t **ret, struct error *error);
// Files, and mutund where one runs; where `files` is 0 one must. Returns a new object; `ret_asked` tells whether mutund was there.
int heard_read(const char *const *paths, unsigned files, struct readiness **ret, bool *ret_asked,
	       struct error *error);
