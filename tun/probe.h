// SPDX-License-Identifier: Apache-2.0
// Link messages: what two workers tell each other beside inner packets (PROTOCOL.md, Link messages).
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "tun/datagram.h"
#include "tun/packet.h"

struct path;
struct session;
struct worker;

// Asks whether the path works; its answer also measures the round trip.
void probe_path(struct worker *worker, struct session *session, struct path *path);
// Sends a message to wherever this worker's packets go, at once. Not while a frame is at work.
void probe_send(struct worker *worker, struct session *session, enum link_message_type type);
// Asks over UDP while packets go in the channel.
void probe_udp(struct worker *worker, struct session *session);
// As probe_send(), with an MTU probe of `size` bytes and a small one behind it: what fills a queue loses the latter. An address that has not answered yet is asked whether it is
// there, and no more: what gets lost on the way there says nothing of sizes.
void probe_mtu(struct worker *worker, struct session *session, size_t size);
// Runs of datagrams are about to leave on this path: finds out whether they arrive, now and then. A kernel or a driver that
// mangles them cannot be seen from the sending side alone.
void probe_batches(struct worker *worker, struct session *session, struct path *path);
// Takes a message that came from `from`.
enum drop probe_take(struct worker *worker, struct session *session,
		     const struct datagram_peer *from, const uint8_t *plain, size_t size);
// What a probe of `size` bytes is answered with. false: the message is no probe, and has no answer.
bool probe_reply(const struct link_message *message, size_t size, struct link_message *ret);
