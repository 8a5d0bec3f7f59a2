// SPDX-License-Identifier: Apache-2.0
// Peer -> TUN.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct datagram_peer;
struct worker;

struct ingress_input {
	const uint8_t *data; // one datagram
	size_t size;
	const struct datagram_peer *peer;
	uint8_t ecn;	  // of the outer header
	bool handed_over; // another worker received it
};

// Takes what has arrived on the socket in `slot`, one batch.
void ingress_run(struct worker *worker, unsigned slot);
// One datagram. What it holds is written with the next flush.
void ingress_datagram(struct worker *worker, const struct ingress_input *input);
// Writes what has been joined.
void ingress_flush(struct worker *worker);
