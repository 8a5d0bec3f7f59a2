// SPDX-License-Identifier: Apache-2.0
// What the sender of an inner packet is told that did not go on, as often as he may be. `back`: the session that it came from, NULL:
// it came out of the TUN queue. The answer comes from where the packet went, since from there it will be believed.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct inner;
struct session;
struct worker;

// A packet that did not fit: `mtu` bytes do.
void sender_too_big(struct worker *worker, struct session *back, const struct inner *inner,
		    const uint8_t *packet, size_t size, unsigned mtu);
// One that the policy does not let through.
void sender_refused(struct worker *worker, struct session *back, const struct inner *inner,
		    const uint8_t *packet, size_t size);
// One that has travelled far enough.
void sender_expired(struct worker *worker, struct session *back, const struct inner *inner,
		    const uint8_t *packet, size_t size);
