// SPDX-License-Identifier: Apache-2.0
// What is up, as JSON (schema 1; fields are added, never changed).
#pragma once

#include <jansson.h>

#define REPORT_SCHEMA 1

struct engine;

// Each returns a new reference, NULL without memory.
json_t *report_status(const struct engine *engine);
json_t *report_certificate(const struct engine *engine); // and when it is renewed
