// SPDX-License-Identifier: Apache-2.0
// The narrow privileged interface: everything that mutun does to its host. Nothing else changes interfaces, addresses,
// kernel routes or rules. What was made here is taken back by host_free(), and what a killed predecessor left is removed
// by host_new().
//
// Kernel routes live in a table of their own, looked up before main for all packets except our own outer ones, which
// carry a mark; so a route into the tunnel never catches the tunnel's own packets, and the local network cannot steal
// traffic from it with a longer prefix.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/addr.h"
#include "base/cleanup.h"

struct error;
struct host;

#define HOST_QUEUES_MAX 64u
// Who made a kernel route or rule: "proto 109" in ip-route(8) and ip-rule(8). Free in linux/rtnetlink.h and iproute2.
#define HOST_PROTOCOL 109u

struct host_options {
	const char *interface; // 1-15 bytes
	unsigned table;	       // kernel routing table of our own, 1..2^31, not 253-255
	unsigned
		rule_priority; // of two rules: mark -> main at this, all without it -> table at this + 1
	uint32_t mark;	       // of our own outer packets, not 0
	unsigned queues;       // 1..HOST_QUEUES_MAX
	unsigned mtu;	       // 1280..65000
	unsigned offloads; // OFFLOAD_BIT()s to ask for: TSO, USO, STEER
};

// Called on the loop's thread, at most every 100 ms, after addresses, routes or interfaces other than our own changed; also
// after somebody else deleted, renamed, moved or set down our interface or changed its MTU, which is logged and not repaired.
typedef void (*host_changed)(void *data);

// Removes rules and routes of a predecessor (rules of the same priorities that are HOST_PROTOCOL's or equal to ours, and
// all routes in the table), makes the TUN interface with all its queues,
// sets the MTU, brings it up, adds the rules for IPv4 and, where the kernel has it, IPv6, and disables IPv6 link-local
// address generation on it. -EBUSY when the interface name is in use; -EPERM without CAP_NET_ADMIN; the error says what to do.
int host_new(sd_event *event, const struct host_options *options, host_changed changed, void *data,
	     struct host **ret, struct error *error);
// Removes everything that was made, the interface too, even where another process still holds one of its queues. Takes NULL,
// returns NULL.
struct host *host_free(struct host *host);
DEFINE_CLEANUP(struct host *, host_free);

// The descriptors of the TUN queues, non-blocking, borrowed until host_free(): IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE, and
// IFF_VNET_HDR with a header of 12 bytes (struct virtio_net_hdr_v1).
int host_queue(const struct host *host, unsigned queue);
// OFFLOAD_BIT()s of those that the kernel agreed to.
unsigned host_offloads(const struct host *host);
unsigned host_interface_index(const struct host *host);

// Addresses of our interface, host bits set; no route comes with them. Adding what is there and removing what is not
// succeeds. On a kernel without IPv6, so does everything of that family, with one warning.
int host_address_add(struct host *host, const struct prefix *address, struct error *error);
int host_address_remove(struct host *host, const struct prefix *address, struct error *error);
// Kernel routes to our interface, in our table, with `source` (NULL: the kernel chooses) as the address that this host prefers
// on them. One that is there is replaced. Host bits set: -EINVAL.
int host_route_add(struct host *host, const struct prefix *prefix, const struct addr *source,
		   struct error *error);
int host_route_remove(struct host *host, const struct prefix *prefix, struct error *error);
int host_set_mtu(struct host *host, unsigned mtu, struct error *error);

// Whether the host still has `addr` as an address of its own.
bool host_has_address(struct host *host, const struct addr *addr);
