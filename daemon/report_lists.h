// SPDX-License-Identifier: Apache-2.0
// The revocation lists of a node, as JSON.
#pragma once

#include <jansson.h>

struct lists;

// A new reference: an array, empty where none is configured. NULL without memory.
json_t *report_lists(const struct lists *lists);
