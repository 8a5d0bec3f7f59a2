// SPDX-License-Identifier: Apache-2.0
// Protocols and ports inside the tunnel, for people: "tcp 10.20.0.5:25", "icmp/8/0 10.20.0.5", "proto/99 10.20.0.5".
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define TARGET_TEXT_MAX 80

// Returns `text`, which has room for TARGET_TEXT_MAX. `port` of ICMP: type << 8 | code.
const char *target_text(uint8_t protocol, const struct addr *addr, uint16_t port, char *text);
// "tcp", "proto/99": the protocol alone, likewise.
const char *target_protocol_text(uint8_t protocol, char *text);
// The other way round; numbers alone do, too. -EINVAL.
int target_protocol_parse(const char *text, uint8_t *ret);
