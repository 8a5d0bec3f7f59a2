// SPDX-License-Identifier: Apache-2.0

#include "tun/netlink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <netlink/msg.h>

#include "tun/exchange.h"

// Packets or super-packets that wait for a worker, per queue: room for bursts of small packets, 11 ms of 1 Gbit/s, since nothing tells
// their sender to wait. tun/backlog.h keeps it short where there is somebody to tell.
#define TX_QUEUE 1000u

struct netlink {
	struct exchange *exchange;
};

int netlink_open(struct netlink **ret)
{
	_cleanup_(netlink_closep) struct netlink *netlink = calloc(1, sizeof(*netlink));
	if (!netlink)
		return -ENOMEM;
	int r = exchange_open(&netlink->exchange);
	if (r < 0)
		return r;
	*ret = take(netlink);
	return 0;
}

struct netlink *netlink_close(struct netlink *netlink)
{
	if (!netlink)
		return NULL;
	exchange_close(netlink->exchange);
	free(netlink);
	return NULL;
}

static int unless(int r, int harmless)
{
	return r == harmless ? 0 : r;
}

// Takes the message, which may be NULL.
static int request(struct netlink *netlink, struct nl_msg *message)
{
	return exchange_ask(netlink->exchange, message, NULL, NULL);
}

static uint32_t read_u32(const struct nlmsghdr *message, size_t header, int attribute,
			 uint32_t fallback)
{
	const struct nlattr *found =
		nlmsg_find_attr((struct nlmsghdr *)message, (int)header, attribute);
	return found && nla_len(found) >= (int)sizeof(uint32_t) ? nla_get_u32(found) : fallback;
}

// --- interfaces

static void read_interface(void *data, struct nlmsghdr *message)
{
	struct netlink_interface *interface = data;
	const struct ifinfomsg *header = nlmsg_data(message);
	if (message->nlmsg_type != RTM_NEWLINK || nlmsg_datalen(message) < (int)sizeof(*header))
		return;
	const struct nlattr *name = nlmsg_find_attr(message, sizeof(*header), IFLA_IFNAME);
	if (name)
		nla_strlcpy(interface->name, name, sizeof(interface->name));
	interface->mtu = read_u32(message, sizeof(*header), IFLA_MTU, 0);
	interface->up = (header->ifi_flags & IFF_UP) != 0;
}

static struct nl_msg *link_message(int type, unsigned index, bool up)
{
	struct ifinfomsg header = {
		.ifi_family = AF_UNSPEC,
		.ifi_index = (int)index,
		.ifi_flags = up ? IFF_UP : 0,
		.ifi_change = up ? IFF_UP : 0,
	};
	return exchange_message(type, 0, &header, sizeof(header));
}

int netlink_interface(struct netlink *netlink, unsigned index, struct netlink_interface *ret)
{
	struct netlink_interface interface = {0};
	int r = exchange_ask(netlink->exchange, link_message(RTM_GETLINK, index, false),
			     read_interface, &interface);
	if (r == 0)
		*ret = interface;
	return r;
}

static int prepare_ipv4(struct netlink *netlink, unsigned index)
{
	struct nl_msg *message = link_message(RTM_SETLINK, index, false);
	if (!message)
		return -ENOMEM;
	struct nlattr *families = nla_nest_start(message, IFLA_AF_SPEC);
	struct nlattr *family = nla_nest_start(message, AF_INET);
	struct nlattr *settings = nla_nest_start(message, IFLA_INET_CONF);
	nla_put_u32(message, IPV4_DEVCONF_PROMOTE_SECONDARIES, 1);
	nla_nest_end(message, settings);
	nla_nest_end(message, family);
	nla_nest_end(message, families);
	return request(netlink, message);
}

static int prepare_ipv6(struct netlink *netlink, unsigned index)
{
	struct nl_msg *message = link_message(RTM_SETLINK, index, false);
	if (!message)
		return -ENOMEM;
	struct nlattr *families = nla_nest_start(message, IFLA_AF_SPEC);
	struct nlattr *family = nla_nest_start(message, AF_INET6);
	nla_put_u8(message, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	nla_nest_end(message, family);
	nla_nest_end(message, families);
	return request(netlink, message);
}

int netlink_interface_prepare(struct netlink *netlink, unsigned index)
{
	int r = prepare_ipv4(netlink, index);
	// A kernel without IPv6 knows no such mode, and makes no such address.
	return r < 0 ? r : unless(prepare_ipv6(netlink, index), -EAFNOSUPPORT);
}

static int set_link(struct netlink *netlink, unsigned index, unsigned mtu, bool up)
{
	struct nl_msg *message = link_message(RTM_SETLINK, index, up);
	if (message)
		nla_put_u32(message, IFLA_MTU, mtu);
	if (message && up)
		nla_put_u32(message, IFLA_TXQLEN, TX_QUEUE);
	return request(netlink, message);
}

int netlink_interface_up(struct netlink *netlink, unsigned index, unsigned mtu)
{
	return set_link(netlink, index, mtu, true);
}

int netlink_set_mtu(struct netlink *netlink, unsigned index, unsigned mtu)
{
	return set_link(netlink, index, mtu, false);
}

int netlink_interface_remove(struct netlink *netlink, unsigned index)
{
	return unless(request(netlink, link_message(RTM_DELLINK, index, false)), -ENODEV);
}

// --- addresses

static struct nl_msg *address_message(int type, unsigned index, const struct prefix *address)
{
	struct ifaddrmsg header = {
		.ifa_family = address->addr.family,
		.ifa_prefixlen = address->length,
		.ifa_scope = RT_SCOPE_UNIVERSE,
		.ifa_index = index,
	};
	struct nl_msg *message =
		exchange_message(type, NLM_F_CREATE | NLM_F_REPLACE, &header, sizeof(header));
	int size = (int)ADDR_BYTES(&address->addr);
	if (!message)
		return NULL;
	nla_put(message, IFA_LOCAL, size, address->addr.bytes);
	nla_put(message, IFA_ADDRESS, size, address->addr.bytes);
	nla_put_u32(message, IFA_FLAGS,
		    address->addr.family == AF_INET6 ? IFA_F_NOPREFIXROUTE | IFA_F_NODAD
						     : IFA_F_NOPREFIXROUTE);
	return message;
}

int netlink_address_add(struct netlink *netlink, unsigned index, const struct prefix *address)
{
	return unless(request(netlink, address_message(RTM_NEWADDR, index, address)), -EEXIST);
}

int netlink_address_remove(struct netlink *netlink, unsigned index, const struct prefix *address)
{
	return unless(request(netlink, address_message(RTM_DELADDR, index, address)),
		      -EADDRNOTAVAIL);
}

struct search {
	const struct addr *addr;
	bool found;
};

static void compare_address(void *data, struct nlmsghdr *message)
{
	struct search *search = data;
	const struct ifaddrmsg *header = nlmsg_data(message);
	int size = (int)ADDR_BYTES(search->addr);
	if (message->nlmsg_type != RTM_NEWADDR || nlmsg_datalen(message) < (int)sizeof(*header) ||
	    header->ifa_family != search->addr->family)
		return;
	const struct nlattr *local = nlmsg_find_attr(message, sizeof(*header), IFA_LOCAL);
	if (!local) // most IPv6 addresses have only the other
		local = nlmsg_find_attr(message, sizeof(*header), IFA_ADDRESS);
	if (local && nla_len(local) == size &&
	    memcmp(nla_data(local), search->addr->bytes, (size_t)size) == 0)
		search->found = true;
}

bool netlink_has_address(struct netlink *netlink, const struct addr *addr)
{
	struct ifaddrmsg header = {.ifa_family = addr->family};
	struct search search = {.addr = addr};
	struct nl_msg *message = exchange_message(RTM_GETADDR, NLM_F_DUMP, &header, sizeof(header));
	int r = exchange_ask(netlink->exchange, message, compare_address, &search);
	return search.found || r < 0;
}

// --- kernel routes

static struct nl_msg *route_message(int type, int flags, const struct netlink_route *route)
{
	const struct addr *addr = &route->prefix.addr;
	struct rtmsg header = {
		.rtm_family = addr->family,
		.rtm_dst_len = route->prefix.length,
		.rtm_table = RT_TABLE_UNSPEC, // RTA_TABLE has room for all 32 bits
		.rtm_protocol = route->protocol,
		.rtm_scope = addr->family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
	};
	struct nl_msg *message = exchange_message(type, flags, &header, sizeof(header));
	if (!message)
		return NULL;
	nla_put(message, RTA_DST, (int)ADDR_BYTES(addr), addr->bytes);
	nla_put_u32(message, RTA_OIF, route->index);
	nla_put_u32(message, RTA_TABLE, route->table);
	if (route->source.family == addr->family)
		nla_put(message, RTA_PREFSRC, (int)ADDR_BYTES(addr), route->source.bytes);
	return message;
}

int netlink_route_add(struct netlink *netlink, const struct netlink_route *route)
{
	int flags = NLM_F_CREATE | NLM_F_REPLACE;
	return unless(request(netlink, route_message(RTM_NEWROUTE, flags, route)), -EEXIST);
}

int netlink_route_remove(struct netlink *netlink, const struct netlink_route *route)
{
	return unless(request(netlink, route_message(RTM_DELROUTE, 0, route)), -ESRCH);
}

struct table_of {
	uint8_t family;
	unsigned table;
};

static bool route_matches(const struct nlmsghdr *message, const void *data)
{
	const struct table_of *what = data;
	const struct rtmsg *header = nlmsg_data(message);
	return message->nlmsg_type == RTM_NEWROUTE && header->rtm_family == what->family &&
	       !(header->rtm_flags & RTM_F_CLONED) &&
	       read_u32(message, sizeof(*header), RTA_TABLE, header->rtm_table) == what->table;
}

static int flush_family(struct netlink *netlink, const struct table_of *what)
{
	struct rtmsg header = {.rtm_family = what->family};
	struct exchange_sweep sweep = {
		.fixed = sizeof(header),
		.matches = route_matches,
		.data = what,
	};
	struct nl_msg *message =
		exchange_message(RTM_GETROUTE, NLM_F_DUMP, &header, sizeof(header));
	if (message)
		nla_put_u32(message, RTA_TABLE, what->table);
	int r = exchange_sweep(netlink->exchange, message, &sweep);
	return unless(r, -ENOENT); // no such table
}

int netlink_table_flush(struct netlink *netlink, unsigned table)
{
	struct table_of ipv4 = {.family = AF_INET, .table = table};
	struct table_of ipv6 = {.family = AF_INET6, .table = table};
	int r = flush_family(netlink, &ipv4);
	int r6 = unless(flush_family(netlink, &ipv6), -EAFNOSUPPORT);
	return r < 0 ? r : r6;
}

// --- rules

int netlink_rule_add(struct netlink *netlink, const struct netlink_rule *rule)
{
	struct fib_rule_hdr header = {
		.family = rule->family,
		.action = FR_ACT_TO_TBL,
		.flags = rule->others ? FIB_RULE_INVERT : 0,
	};
	struct nl_msg *message =
		exchange_message(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof(header));
	if (!message)
		return -ENOMEM;
	nla_put_u32(message, FRA_PRIORITY, rule->priority);
	nla_put_u32(message, FRA_TABLE, rule->table);
	nla_put_u8(message, FRA_PROTOCOL, rule->protocol);
	if (rule->mark) {
		nla_put_u32(message, FRA_FWMARK, rule->mark);
		nla_put_u32(message, FRA_FWMASK, UINT32_MAX);
	}
	return unless(request(netlink, message), -EEXIST);
}

static bool rule_matches(const struct nlmsghdr *message, const void *data)
{
	const struct netlink_rule *rule = data;
	const struct fib_rule_hdr *header = nlmsg_data(message);
	size_t fixed = sizeof(*header);
	if (message->nlmsg_type != RTM_NEWRULE || header->family != rule->family ||
	    read_u32(message, fixed, FRA_PRIORITY, 0) != rule->priority)
		return false;
	const struct nlattr *protocol =
		nlmsg_find_attr((struct nlmsghdr *)message, (int)fixed, FRA_PROTOCOL);
	if (protocol && nla_len(protocol) >= 1 && nla_get_u8(protocol) == rule->protocol)
		return true;
	bool others = (header->flags & FIB_RULE_INVERT) != 0;
	return header->action == FR_ACT_TO_TBL && others == rule->others &&
	       read_u32(message, fixed, FRA_TABLE, header->table) == rule->table &&
	       read_u32(message, fixed, FRA_FWMARK, 0) == rule->mark;
}

int netlink_rule_flush(struct netlink *netlink, const struct netlink_rule *rule)
{
	struct fib_rule_hdr header = {.family = rule->family};
	struct exchange_sweep sweep = {
		.fixed = sizeof(header),
		.matches = rule_matches,
		.data = rule,
	};
	struct nl_msg *message = exchange_message(RTM_GETRULE, NLM_F_DUMP, &header, sizeof(header));
	int r = exchange_sweep(netlink->exchange, message, &sweep);
	return unless(r, -EAFNOSUPPORT);
}
