// SPDX-License-Identifier: Apache-2.0
// Who trusts which CA certificates, as this node knows it: the answer to `mutun ca readiness`.
#pragma once

#include <jansson.h>

struct engine;

// {"schema", "identity", "nodes": [{"identity", "anchors": [SHA-256 ...], "seen": seconds since 1970}]}, this node among them; a
// node that does not say has "anchors" null. A new reference; NULL: out of memory, or the database cannot be read.
json_t *report_readiness(const struct engine *engine);
