// SPDX-License-Identifier: Apache-2.0
// Packets of a session as frames of its channel, where UDP does not get through (PROTOCOL.md, Paths). The initiator decides
// (tun/liveness.h, tun/detour.h); the responder sends where the peer's newest packet came from. All of it on the control thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct connection;
struct parcel;
struct session;

#define CHANNEL_AGE_MS 500u // what has waited so long for the channel is not sent any more

// Where the owner keeps the session's newest channel (*current is NULL while there is none); borrowed until session_free().
void session_channel_use(struct session *session, struct connection *const *current);
// A packet came as a frame of a channel of this session; copies it.
void session_channel_take(struct session *session, const void *packet, size_t size);
// There is another channel, or room in it again (CHANNEL_ROOM): sends what waits.
void session_channel_ready(struct session *session);
// For outlet.c: takes what workers have sealed.
void session_channel_put(struct session *session, struct parcel *parcel);

// Whether packets go in the channel now.
bool session_in_channel(const struct session *session);
// The far end of the channel; AF_UNSPEC: there is none now.
struct endpoint session_channel_endpoint(const struct session *session);
