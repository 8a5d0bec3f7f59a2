// SPDX-License-Identifier: Apache-2.0
// Addresses and prefixes from text, or the test fails. After cmocka.h.
#pragma once

#include "base/addr.h"

static inline struct addr addr_from(const char *text)
{
	struct addr addr;
	if (addr_parse(text, &addr) < 0)
		fail_msg("%s", text);
	return addr;
}

static inline struct prefix prefix_from(const char *text)
{
	struct prefix prefix;
	if (prefix_parse(text, &prefix) < 0)
		fail_msg("%s", text);
	return prefix;
}
