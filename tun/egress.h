// SPDX-License-Identifier: Apache-2.0
// TUN -> peer.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tun/packet.h"

struct datagram_peer;
struct path;
struct session;
struct worker;

// Drains the TUN queue, one batch. true: there may be more.
bool egress_run(struct worker *worker);
// A link message on the path that this worker uses to the session's peer. The batch is sent before it returns.
void egress_link(struct worker *worker, struct session *session, enum link_message_type type);
// A probe to a path that wants to be confirmed; or the answer to a probe, to where it came from. Sent with the next flush.
void egress_probe(struct worker *worker, struct session *session, struct path *path);
void egress_answer(struct worker *worker, struct session *session, const struct datagram_peer *to,
		   enum link_message_type type, uint64_t token, uint16_t size);
// Sends what has been sealed.
void egress_flush(struct worker *worker);
