// SPDX-License-Identifier: Apache-2.0
// When the certificate of this node is renewed, and what stands in the way: part of `mutun status`, the answer to `mutun renew`.
#pragma once

#include <jansson.h>

struct engine;

// A new reference; NULL: out of memory. {"source", "from", "words", "at", "in_s", "not_after", "alarm", "busy", "attempts",
// "failures", "last_error", "held", "previous", "clock_wrong", "skew_s"}; what is not known is null.
json_t *report_renewal(const struct engine *engine);
