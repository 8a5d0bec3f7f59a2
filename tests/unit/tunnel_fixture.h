// SPDX-License-Identifier: Apache-2.0
// Two ends of a tunnel in one process: real data planes, sockets on the loopback interface, sessions and channels. Only the
// TUN queues are not the kernel's: they are socket pairs, so that no privileges are needed. Every function ends the test
// when it fails.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "tun/channel.h"
#include "tun/dataplane.h"
#include "tun/session.h"
#include "unit/pki_fixture.h"

#define TUNNEL_MTU	 1400u
#define TUNNEL_PACKET	 100u // bytes of the inner packets that are made here
#define TUNNEL_WAIT_MS	 20000
#define TUNNEL_QUIET_MS	 60
#define TUNNEL_CLIENT	 "10.90.0.2"
#define TUNNEL_GATEWAY	 "10.90.0.1"
#define TUNNEL_CLIENT_6	 "fd90::2"
#define TUNNEL_GATEWAY_6 "fd90::1"

struct host;

struct tunnel_end {
	struct host *host;
	struct dataplane *dataplane;
	struct session *session;
	struct tls_context *context;
};

struct tunnel {
	unsigned workers;
	struct fixture *root;
	struct tunnel_end client, gateway;
	struct endpoint listening;			  // of the gateway
	struct channel *client_channel, *gateway_channel; // the newest
};

// Both ends with `workers` workers each, routes to each other, and the client's path to the gateway; no epoch yet. The client
// knows the gateway as FIXTURE_GATEWAY, and the other way round as FIXTURE_ALICE.
struct tunnel *tunnel_new(unsigned workers);
struct tunnel *tunnel_free(struct tunnel *tunnel);

// Proves both identities over a new channel.
void tunnel_dial(struct tunnel *tunnel);
// Installs an epoch of the newest channel at one end.
void tunnel_install(struct tunnel *tunnel, struct tunnel_end *end, uint32_t epoch, uint64_t now_ms);
// All of it, gateway first, and a packet each way.
void tunnel_renew(struct tunnel *tunnel, uint32_t epoch, uint64_t now_ms);

// Writes an inner packet of TUNNEL_PACKET bytes. The number is in its last 4 bytes.
void tunnel_make_packet(uint8_t *packet, const char *source, const char *destination,
			uint32_t number);
// Into a TUN queue: what the host sends.
void tunnel_write(struct tunnel_end *end, unsigned queue, const uint8_t *packet, size_t size);
// The next packet that comes out of any queue. 0: none within `wait_ms`.
size_t tunnel_read(struct tunnel_end *end, int wait_ms, uint8_t packet[TUNNEL_MTU]);
// A packet of the client, or of the gateway, into one of its queues; its number; whether the one with this number comes out next.
void tunnel_write_up(struct tunnel *tunnel, unsigned queue, uint32_t number);
void tunnel_write_down(struct tunnel *tunnel, unsigned queue, uint32_t number);
uint32_t tunnel_number(const uint8_t *packet);
bool tunnel_arrives(struct tunnel_end *end, uint32_t number);
// A packet goes in at one end and must come out at the other, as it was.
void tunnel_up(struct tunnel *tunnel, uint32_t number);
void tunnel_down(struct tunnel *tunnel, uint32_t number);

uint32_t tunnel_epoch(const struct tunnel_end *end);		     // that the end sends with
uint64_t tunnel_drops(const struct tunnel_end *end, enum drop drop); // of the session
// Waits until the session has counted as many.
void tunnel_wait_drops(const struct tunnel_end *end, enum drop drop, uint64_t count);
