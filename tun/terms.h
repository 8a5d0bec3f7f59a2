// SPDX-License-Identifier: Apache-2.0
// What the terms of a session do to its packets: how fast it may be (tun/limit.h), and what its prefixes are called elsewhere
// (tun/translate.h). Workers, under RCU. A session without terms costs two loads.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tun/packet.h"

struct cut;
struct inner;
struct session;

// A packet of the peer that inner_parse() made `inner` of, before anybody looks at its source. DROP_NONE or DROP_RATE.
enum drop terms_arrive(struct session *session, uint8_t *packet, size_t size, struct inner *inner,
		       bool partial);
// What is about to be sent to the peer, before it is cut. DROP_NONE, or DROP_RATE; then, with `ret_one`, its first piece alone is to be
// lost, so that its sender slows down.
enum drop terms_leave(struct session *session, struct cut *cut, bool *ret_one);
