// SPDX-License-Identifier: Apache-2.0

#include "tun/offload.h"

#include <assert.h>

static const char *const names[] = {
	[OFFLOAD_TSO] = "tso",	       [OFFLOAD_USO] = "uso", [OFFLOAD_JOIN] = "join",
	[OFFLOAD_SEGMENT] = "segment", [OFFLOAD_GRO] = "gro", [OFFLOAD_STEER] = "steer",
};
static_assert(sizeof(names) / sizeof(names[0]) == OFFLOAD_COUNT, "a name for each");

const char *offload_name(enum offload offload)
{
	return names[offload];
}
