// SPDX-License-Identifier: Apache-2.0
// What stands between the two ends of a tunnel where a test wants it: it loses, repeats, damages, and lets the client appear from
// elsewhere, as a NAT does. Every function ends the test when it fails.
#pragma once

#include <sys/socket.h>

#include "unit/tunnel_fixture.h"

#define RELAY_DATAGRAM (PACKET_OVERHEAD + TUNNEL_PACKET)

struct datagram {
	size_t size;
	uint8_t bytes[2048];
};

struct relay {
	struct tunnel *tunnel;
	int near_fd; // towards the client
	int far_fd;  // towards the gateway; a test may put another one here
	struct sockaddr_storage client;
};

void relay_init(struct relay *relay, struct tunnel *tunnel);
void relay_done(struct relay *relay);
// A UDP socket bound to "127.0.0.1:0" ...
int relay_open_socket(const char *text);
// From now on the client's datagrams come to the relay, which reaches the gateway from `far`.
void relay_begin(struct relay *relay, const char *far);
// What came to one of its sockets. false: nothing within `wait_ms`.
bool relay_take(struct relay *relay, int fd, int wait_ms, struct datagram *ret);
void relay_give_up(const struct relay *relay, const struct datagram *datagram);	  // to the gateway
void relay_give_down(const struct relay *relay, const struct datagram *datagram); // to the client
// Makes the client send an inner packet from `queue`, and takes that, not one of its link messages.
void relay_catch_up(struct relay *relay, unsigned queue, uint32_t number, struct datagram *ret);
// Carries what waits, both ways, until all is quiet.
void relay_settle(struct relay *relay);
