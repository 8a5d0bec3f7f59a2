// SPDX-License-Identifier: Apache-2.0
// The kernel's check of where packets come from (RFC 3704). A strict one asks for the way back without our mark, finds our own routes
// where one leads to the gateway too, and drops what the gateway sends.
#pragma once

#include <stdbool.h>

// Whether some interface of this host checks IPv4 strictly (net.ipv4.conf.*.rp_filter: the larger one of "all" and its own counts, and
// 2 is loose). IPv6 has no such check.
bool reverse_is_strict(void);
