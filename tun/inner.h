// SPDX-License-Identifier: Apache-2.0
// A strict look into an inner IP packet: what the data plane needs to judge it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct inner {
	struct addr source;
	struct addr destination;
};

// The packet must be exactly one IPv4 or IPv6 packet of `size` bytes: version, header length, total length. false: it is
// not (RFC 791, 3.1; RFC 8200, 3).
bool inner_parse(const uint8_t *packet, size_t size, struct inner *ret);

enum { ECN_NONE, ECN_ECT_1, ECN_ECT_0, ECN_CE }; // RFC 3168, 5

// The ECN field of a packet that inner_parse() accepted.
uint8_t inner_ecn(const uint8_t *packet);
// Folds in what happened to the outer header on the way (RFC 6040, 4.2). false: the packet must be dropped.
bool inner_fold_ecn(uint8_t *packet, uint8_t outer);
