// SPDX-License-Identifier: Apache-2.0
// Peer -> TUN.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct datagram_peer;
struct worker;

// Takes what has arrived on the socket in `slot`, one batch. true: there may be more.
bool ingress_run(struct worker *worker, unsigned slot);
// One datagram, from `peer`; `handed_over`: another worker received it.
void ingress_datagram(struct worker *worker, const uint8_t *data, size_t size,
		      const struct datagram_peer *peer, bool handed_over);
