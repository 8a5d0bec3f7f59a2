// SPDX-License-Identifier: Apache-2.0
// A gateway that judges packets and sends none: a data plane without threads, three peers, a link, and a policy of a few rules.
// Every function ends the test when it fails.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>

#include "tun/guard.h"
#include "tun/inner.h"
#include "tun/pass.h"
#include "tun/rule.h"

#define PASS_ALICE "10.90.0.2" // addresses of peers
#define PASS_BOB   "10.90.0.3"
#define PASS_CAROL "10.90.0.4"
#define PASS_FAR   "10.50.0.9" // behind the link
#define PASS_HOST  "10.20.0.5" // in a network behind this host
#define PASS_MAX   1600u

struct pass_world {
	struct dataplane *dataplane;
	struct worker *worker;
	struct session *alice, *bob, *carol, *link;
	int wake;
	int tun; // the other end of the TUN queue
};

// No keys, no paths: packets can be judged.
struct pass_world *pass_world_new(void);
struct pass_world *pass_world_free(struct pass_world *world);

// A policy of rules, each a line of words: "deny"|"allow", from, to, service; then any of "reject", "log". Sides: "any", "alice", "bob",
// "carol", "link" (identities), "net" (10.20.0.0/16). Services: "any", "icmp", "ping", or "tcp/443". A line that begins with "inbound"
// belongs to that program. Borrowed by the filter: they are freed with the world, or when others come.
struct filter *pass_filter(const char *const *lines);
// The same, from now on.
void pass_rules(struct pass_world *world, const char *const *lines);

// Writes a packet; returns its size. `flags` of TCP; ICMP: ports are type << 8 | code, and the identifier.
size_t pass_packet(uint8_t *packet, const char *from, const char *to, uint8_t protocol,
		   uint16_t from_port, uint16_t to_port, uint8_t flags);
// An ICMP error (type 3, code 3) about `packet`.
size_t pass_error(uint8_t *error, const char *from, const uint8_t *packet, size_t size);
// Judges it as if it had come from the session that has its source, or out of the TUN queue. `ret` may be NULL.
enum drop pass_packet_judge(struct pass_world *world, const uint8_t *packet, size_t size,
			    struct pass *ret);
// Both.
enum drop pass_try(struct pass_world *world, const char *from, const char *to, uint8_t protocol,
		   uint16_t from_port, uint16_t to_port, uint8_t flags);

// --- packets that travel

// From now on packets come from the session and are sealed for it, 1400 bytes at most.
void pass_connect(struct session *session);
// It sends a packet, sealed. `flags` of the packet header; `ecn` of the outer one.
void pass_arrive(struct pass_world *world, struct session *session, const uint8_t *packet,
		 size_t size, uint8_t flags, uint8_t ecn);
// Opens the packet number `position` of those that wait to be sent to the session; returns its size, 0: there are no more.
size_t pass_sent(struct pass_world *world, const struct session *session, unsigned position,
		 uint8_t packet[PASS_MAX], uint8_t *ret_flags);
// What waits goes nowhere.
void pass_forget(struct pass_world *world);
// The next thing written into the TUN queue, with its vnet header; its size, 0: there is none.
size_t pass_read_tun(struct pass_world *world, uint8_t *frame, size_t size);
