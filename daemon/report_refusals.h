// SPDX-License-Identifier: Apache-2.0
// What status says of packets that were refused, by this node or by the gateway of a link.
#pragma once

#include <jansson.h>

struct refusals;

// An array, the newest first; NULL, too, is none.
json_t *report_refusals(const struct refusals *refusals);
