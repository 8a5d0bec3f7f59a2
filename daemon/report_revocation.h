// SPDX-License-Identifier: Apache-2.0
// What this node knows of what was withdrawn, as `mutun status` shows it.
#pragma once

#include <jansson.h>

struct engine;

// {"denials": [{"domain", "number", "time", "age_s", "source", "problem"}], "problem"}: new. `number` and `time` are of the last entry,
// `source` is where it came from. Problems are sentences, or null.
json_t *report_revocation(const struct engine *engine);
