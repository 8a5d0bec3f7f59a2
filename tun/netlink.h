// SPDX-License-Identifier: Apache-2.0
// rtnetlink by libnl: interfaces, addresses, kernel routes, rules. For host.c alone; libnl's types and codes end here.
// Each function returns 0 or -errno, as the kernel said it. Adding what is there and removing what is not succeeds.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <net/if.h>

#include "base/addr.h"
#include "base/cleanup.h"

struct netlink;

int netlink_open(struct netlink **ret);
struct netlink *netlink_close(struct netlink *netlink); // takes NULL, returns NULL
DEFINE_CLEANUP(struct netlink *, netlink_close);

struct netlink_interface {
	char name[IFNAMSIZ];
	unsigned mtu;
	bool up;
};

// -ENODEV: there is none with this index.
int netlink_interface(struct netlink *netlink, unsigned index, struct netlink_interface *ret);
// For an interface that is down: no IPv6 link-local address will appear on it, and removing one IPv4 address will not
// take the others of its subnet along.
int netlink_interface_prepare(struct netlink *netlink, unsigned index);
// Up, with this MTU.
int netlink_interface_up(struct netlink *netlink, unsigned index, unsigned mtu);
int netlink_interface_remove(struct netlink *netlink, unsigned index);
int netlink_set_mtu(struct netlink *netlink, unsigned index, unsigned mtu);

// Host bits set. No route to the prefix comes with it; an IPv6 address is usable at once.
int netlink_address_add(struct netlink *netlink, unsigned index, const struct prefix *address);
int netlink_address_remove(struct netlink *netlink, unsigned index, const struct prefix *address);
// Whether any interface has the address; true also when the kernel cannot be asked.
bool netlink_has_address(struct netlink *netlink, const struct addr *addr);

struct netlink_route {
	unsigned index; // of the interface
	unsigned table;
	uint8_t protocol; // who made it, as in ip-route(8)
	struct prefix prefix;
	struct addr source; // that this host prefers on it; AF_UNSPEC: the kernel chooses
};
// Host bits set: -EINVAL.
int netlink_route_add(struct netlink *netlink, const struct netlink_route *route);
int netlink_route_remove(struct netlink *netlink, const struct netlink_route *route);
// Removes every kernel route in the table, whoever made it.
int netlink_table_flush(struct netlink *netlink, unsigned table);

struct netlink_rule {
	uint8_t family; // AF_INET, AF_INET6
	unsigned priority;
	unsigned table;
	uint32_t mark;	  // 0: any packet
	bool others;	  // all packets but those with the mark
	uint8_t protocol; // who made it, as in ip-rule(8)
};
// -EAFNOSUPPORT: this kernel has no rules for the family.
int netlink_rule_add(struct netlink *netlink, const struct netlink_rule *rule);
// Removes every rule of the family and priority with the same protocol, or with the same table and mark.
int netlink_rule_flush(struct netlink *netlink, const struct netlink_rule *rule);
