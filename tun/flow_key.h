// SPDX-License-Identifier: Apache-2.0
// What makes packets one connection: who, addresses, protocol, ports, as its first packet went.
#pragma once

#include <stdint.h>

#include "base/addr.h"

struct flow_key {
	struct addr from, to;
	uint16_t from_port, to_port; // ICMP echo: the identifier twice; protocols without ports: 0
	uint8_t protocol;
	uint8_t type; // ICMP: of the query that it is or answers, else as it is; other protocols: 0
	uint16_t from_subject, to_subject; // tun/subject.h; 0: no peer, an address alone
};
