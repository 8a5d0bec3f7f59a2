// SPDX-License-Identifier: Apache-2.0
// The policy in answers of the control socket.
#pragma once

#include <jansson.h>

struct engine;

// New: how many rules, the digest, and the same in words.
json_t *report_policy(const struct engine *engine);
