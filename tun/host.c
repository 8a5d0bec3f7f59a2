// SPDX-License-Identifier: Apache-2.0

#include "tun/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/log.h"
#include "tun/netlink.h"
#include "tun/notice.h"
#include "tun/offload.h"
#include "tun/steer.h"

#define VNET_HEADER 12
#define FAMILIES    2u
#define RULES	    (2u * FAMILIES)

struct host {
	struct host_options options;
	char interface[IFNAMSIZ];
	unsigned index; // 0: there is none yet
	int queues[HOST_QUEUES_MAX];
	unsigned queue_count;
	unsigned offloads; // that the kernel agreed to
	struct netlink *netlink;
	struct notices *notices;
	host_changed changed;
	void *data;
	bool ruled;	   // rules were made
	bool ipv6;	   // the kernel has it
	bool ipv6_missed;  // and somebody was told that it has not
	char trouble[128]; // what somebody else did to our interface; empty: nothing
};

static const uint8_t families[FAMILIES] = {AF_INET, AF_INET6};

static const char *gone_remedy = "the interface was deleted or moved away: restart mutund";

// Adds what a person can do about a code of the kernel.
static int advise(struct error *error, const struct host *host, const struct addr *addr, int code)
{
	if ((code == EACCES || code == EPERM) && addr && addr->family == AF_INET6)
		return error_remedy(
			error,
			"run as root or with CAP_NET_ADMIN, and where IPv6 is switched off: "
			"sysctl net.ipv6.conf.%s.disable_ipv6=0",
			host->interface);
	if (code == EACCES || code == EPERM)
		return error_remedy(error, "run as root or with CAP_NET_ADMIN");
	if (code == ENODEV)
		return error_remedy(error, "%s", gone_remedy);
	return -code;
}

// --- the interface

static int open_queue(const char *interface, bool first, int *ret)
{
	unsigned flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;
	struct ifreq request = {0};
	const int header = VNET_HEADER;
	_cleanup_(closep) int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	// Without IFF_TUN_EXCL a name that is in use would give us a queue of a stranger's interface.
	request.ifr_flags = (short)(first ? flags | IFF_TUN_EXCL : flags);
	memcpy(request.ifr_name, interface, strlen(interface));
	if (ioctl(fd, TUNSETIFF, &request) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
		return -errno;
	*ret = take_fd(&fd);
	return 0;
}

static int queue_error(struct error *error, const char *interface, unsigned queue, int code)
{
	if (code == EBUSY) {
		error_set(error, code, "interface %s exists and is not ours", interface);
		return error_remedy(
			error,
			"stop the other mutund, or choose another interface name, or remove "
			"it: ip link delete %s",
			interface);
	}
	// Who may not open the device file may not make an interface either.
	if (code == EACCES)
		code = EPERM;
	error_set(error, code, "cannot make the TUN interface %s (queue %u): %s", interface,
		  queue + 1, strerror(code));
	if (code == EPERM)
		return error_remedy(error, "run as root or with CAP_NET_ADMIN");
	if (code == ENOENT || code == ENODEV || code == ENXIO)
		return error_remedy(error, "load the tun module: modprobe tun; in a container, "
					   "pass /dev/net/tun to it");
	return -code;
}

// TUN_F_USO4 and TUN_F_USO6, newer than linux/if_tun.h of Debian 12.
#define TUN_USO (0x20u | 0x40u)

// Checksums are left to us also where segments are not: they stay partial across the tunnel.
static void enable_offloads(struct host *host)
{
	static const unsigned tso = TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	unsigned wanted = host->options.offloads;
	bool with_tso = wanted & OFFLOAD_BIT(OFFLOAD_TSO);
	bool with_uso = wanted & OFFLOAD_BIT(OFFLOAD_USO);
	unsigned flags = TUN_F_CSUM | (with_tso ? tso : 0);
	host->offloads = with_tso ? OFFLOAD_BIT(OFFLOAD_TSO) : 0;
	// Of the device, not of the queue.
	if (with_uso && ioctl(host->queues[0], TUNSETOFFLOAD, flags | TUN_USO) == 0)
		host->offloads |= OFFLOAD_BIT(OFFLOAD_USO);
	else if (ioctl(host->queues[0], TUNSETOFFLOAD, flags) < 0)
		host->offloads = 0;
}

// One queue needs no choice.
static void steer(struct host *host)
{
	if (!(host->options.offloads & OFFLOAD_BIT(OFFLOAD_STEER)))
		return;
	int r = host->queue_count > 1 ? steer_queues(host->queues[0]) : 0;
	if (r == 0)
		host->offloads |= OFFLOAD_BIT(OFFLOAD_STEER);
	else
		log_debug("the kernel chooses the queues of %s itself: %s", host->interface,
			  strerror(-r));
}

static int open_interface(struct host *host, struct error *error)
{
	for (unsigned i = 0; i < host->options.queues; i++) {
		int r = open_queue(host->interface, i == 0, &host->queues[i]);
		if (r < 0)
			return queue_error(error, host->interface, i, -r);
		host->queue_count = i + 1;
	}
	enable_offloads(host);
	steer(host);
	host->index = if_nametoindex(host->interface);
	if (host->index == 0)
		return error_set(error, ENODEV, "interface %s vanished as soon as it was made",
				 host->interface);
	int r = netlink_interface_prepare(host->netlink, host->index);
	if (r == 0)
		r = netlink_interface_up(host->netlink, host->index, host->options.mtu);
	if (r == 0)
		return 0;
	error_set(error, -r, "cannot set up interface %s with MTU %u: %s", host->interface,
		  host->options.mtu, strerror(-r));
	return advise(error, host, NULL, -r);
}

// --- rules

// Our own outer packets look into main; everything else looks into our table first. The second rule names the mark too: where
// main has no route, the kernel goes on to the next rule, and our outer packets would come back into the tunnel.
static void describe_rules(const struct host *host, struct netlink_rule rules[RULES])
{
	for (size_t i = 0; i < FAMILIES; i++) {
		rules[2 * i] = (struct netlink_rule){
			.family = families[i],
			.priority = host->options.rule_priority,
			.table = RT_TABLE_MAIN,
			.mark = host->options.mark,
			.protocol = HOST_PROTOCOL,
		};
		rules[2 * i + 1] = (struct netlink_rule){
			.family = families[i],
			.priority = host->options.rule_priority + 1,
			.table = host->options.table,
			.mark = host->options.mark,
			.others = true,
			.protocol = HOST_PROTOCOL,
		};
	}
}

// In reverse: while one goes, our outer packets never look into our table. Returns the last failure.
static int remove_rules(struct host *host)
{
	struct netlink_rule rules[RULES];
	int failed = 0;
	describe_rules(host, rules);
	for (unsigned i = RULES; i-- > 0;) {
		int r = netlink_rule_flush(host->netlink, &rules[i]);
		if (r < 0)
			failed = r;
	}
	return failed;
}

static int remove_leftovers(struct host *host, struct error *error)
{
	int r = remove_rules(host);
	if (r == 0)
		r = netlink_table_flush(host->netlink, host->options.table);
	if (r == 0)
		return 0;
	error_set(error, -r, "cannot remove old rules and routes of table %u: %s",
		  host->options.table, strerror(-r));
	return advise(error, host, NULL, -r);
}

static int make_rules(struct host *host, struct error *error)
{
	struct netlink_rule rules[RULES];
	describe_rules(host, rules);
	host->ruled = true;
	for (unsigned i = 0; i < RULES; i++) {
		if (rules[i].family == AF_INET6 && !host->ipv6)
			continue;
		int r = netlink_rule_add(host->netlink, &rules[i]);
		if (r == 0)
			continue;
		error_set(error, -r, "cannot add the routing rule with priority %u for IPv%c: %s",
			  rules[i].priority, rules[i].family == AF_INET ? '4' : '6', strerror(-r));
		if (r == -EAFNOSUPPORT || r == -EOPNOTSUPP)
			return error_remedy(error, "use a kernel with policy routing "
						   "(CONFIG_IP_MULTIPLE_TABLES, "
						   "CONFIG_IPV6_MULTIPLE_TABLES)");
		return advise(error, host, NULL, -r);
	}
	return 0;
}

static bool kernel_has_ipv6(void)
{
	_cleanup_(closep) int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return fd >= 0 || errno != EAFNOSUPPORT;
}

// --- what others do

static void look_for_trouble(const struct host *host, char *trouble, size_t size)
{
	struct netlink_interface now;
	int r = netlink_interface(host->netlink, host->index, &now);
	if (r == -ENODEV)
		snprintf(trouble, size, "was deleted, or moved to another network namespace");
	else if (r < 0)
		return;
	else if (strcmp(now.name, host->interface) != 0)
		snprintf(trouble, size, "was renamed to %s", now.name);
	else if (!now.up)
		snprintf(trouble, size, "was set down");
	else if (now.mtu != host->options.mtu)
		snprintf(trouble, size, "got an MTU of %u instead of %u", now.mtu,
			 host->options.mtu);
}

// Whether it is another trouble than before, or gone.
static bool check_interface(struct host *host)
{
	char trouble[sizeof(host->trouble)] = "";
	look_for_trouble(host, trouble, sizeof(trouble));
	if (strcmp(trouble, host->trouble) == 0)
		return false;
	if (trouble[0])
		log_warning("interface %s %s, not by mutund; nothing will pass as it should until "
			    "this is undone or mutund is restarted",
			    host->interface, trouble);
	else
		log_info("interface %s is as it should be again", host->interface);
	memcpy(host->trouble, trouble, sizeof(trouble));
	return true;
}

static void on_notices(void *data, bool own, bool others)
{
	struct host *host = data;
	bool troubled = own && check_interface(host);
	if ((troubled || others) && host->changed)
		host->changed(host->data);
}

// --- life

static int check_options(const struct host_options *options, struct error *error)
{
	size_t length = strlen(options->interface);
	// '%' would make the kernel choose a number.
	if (length == 0 || length >= IFNAMSIZ || strpbrk(options->interface, "/:% \t\n") ||
	    strcmp(options->interface, ".") == 0 || strcmp(options->interface, "..") == 0) {
		error_set(error, EINVAL, "'%s' is no name for an interface", options->interface);
		return error_expected(error, "1-15 bytes without spaces, '/', ':' and '%%'");
	}
	if (options->queues == 0 || options->queues > HOST_QUEUES_MAX) {
		error_set(error, EINVAL, "%u queues", options->queues);
		return error_expected(error, "1-%u", HOST_QUEUES_MAX);
	}
	return 0;
}

static int start(struct host *host, sd_event *event, struct error *error)
{
	int r = netlink_open(&host->netlink);
	if (r < 0)
		return error_set(error, -r, "cannot open netlink: %s", strerror(-r));
	// First, as it fails when another mutund runs, whose rules are not leftovers.
	r = open_interface(host, error);
	if (r == 0)
		r = remove_leftovers(host, error);
	if (r == 0)
		r = make_rules(host, error);
	if (r < 0)
		return r;
	r = notices_new(event, host->index, host->options.table, on_notices, host, &host->notices);
	return r < 0 ? error_set(error, -r, "cannot watch the network: %s", strerror(-r)) : 0;
}

int host_new(sd_event *event, const struct host_options *options, host_changed changed, void *data,
	     struct host **ret, struct error *error)
{
	int r = check_options(options, error);
	if (r < 0)
		return r;
	_cleanup_(host_freep) struct host *host = calloc(1, sizeof(*host));
	if (!host)
		return error_set(error, ENOMEM, "out of memory");
	host->options = *options;
	memcpy(host->interface, options->interface, strlen(options->interface));
	host->options.interface = host->interface;
	host->changed = changed;
	host->data = data;
	host->ipv6 = kernel_has_ipv6();
	r = start(host, event, error);
	if (r < 0)
		return r;
	*ret = take(host);
	return 0;
}

// Not so after it was deleted or moved away, when a stranger's may have the index.
static bool is_still_here(const struct host *host)
{
	struct ifreq request = {0};
	return host->index && ioctl(host->queues[0], TUNGETIFF, &request) == 0 &&
	       if_nametoindex(request.ifr_name) == host->index;
}

// In reverse order of the making. The kernel would drop the interface with its last queue, and addresses and routes with the
// interface; but a queue may have been handed to another process.
struct host *host_free(struct host *host)
{
	if (!host)
		return NULL;
	notices_free(host->notices);
	int r = host->ruled ? remove_rules(host) : 0;
	if (r < 0)
		log_warning("cannot remove the routing rules with priorities %u and %u: %s; "
			    "remove them with ip rule",
			    host->options.rule_priority, host->options.rule_priority + 1,
			    strerror(-r));
	r = is_still_here(host) ? netlink_interface_remove(host->netlink, host->index) : 0;
	if (r < 0)
		log_warning("cannot remove interface %s: %s", host->interface, strerror(-r));
	for (unsigned i = 0; i < host->queue_count; i++)
		closep(&host->queues[i]);
	netlink_close(host->netlink);
	free(host);
	return NULL;
}

int host_queue(const struct host *host, unsigned queue)
{
	return queue < host->queue_count ? host->queues[queue] : -1;
}

unsigned host_offloads(const struct host *host)
{
	return host->offloads;
}

unsigned host_interface_index(const struct host *host)
{
	return host->index;
}

// --- addresses and routes

// Without IPv6 no packet of it can leave beside the tunnel: nothing is lost by doing nothing.
static bool is_possible(struct host *host, const struct prefix *prefix)
{
	char text[PREFIX_TEXT_MAX];
	if (prefix->addr.family != AF_INET6 || host->ipv6)
		return true;
	if (!host->ipv6_missed)
		log_warning("this kernel has no IPv6: %s and all else of IPv6 is left out",
			    prefix_text(prefix, text));
	host->ipv6_missed = true;
	return false;
}

static int explain(const struct host *host, const char *verb, const struct prefix *prefix, int r,
		   struct error *error)
{
	char text[PREFIX_TEXT_MAX];
	if (r == 0)
		return 0;
	error_set(error, -r, "cannot %s %s on interface %s: %s", verb, prefix_text(prefix, text),
		  host->interface, strerror(-r));
	return advise(error, host, &prefix->addr, -r);
}

int host_address_add(struct host *host, const struct prefix *address, struct error *error)
{
	if (!is_possible(host, address))
		return 0;
	return explain(host, "set the address", address,
		       netlink_address_add(host->netlink, host->index, address), error);
}

int host_address_remove(struct host *host, const struct prefix *address, struct error *error)
{
	if (!is_possible(host, address))
		return 0;
	return explain(host, "remove the address", address,
		       netlink_address_remove(host->netlink, host->index, address), error);
}

static struct netlink_route describe_route(const struct host *host, const struct prefix *prefix)
{
	return (struct netlink_route){
		.index = host->index,
		.table = host->options.table,
		.protocol = HOST_PROTOCOL,
		.prefix = *prefix,
	};
}

int host_route_add(struct host *host, const struct prefix *prefix, const struct addr *source,
		   struct error *error)
{
	struct netlink_route route = describe_route(host, prefix);
	if (source)
		route.source = *source;
	if (!is_possible(host, prefix))
		return 0;
	return explain(host, "add the route", prefix, netlink_route_add(host->netlink, &route),
		       error);
}

int host_route_remove(struct host *host, const struct prefix *prefix, struct error *error)
{
	struct netlink_route route = describe_route(host, prefix);
	if (!is_possible(host, prefix))
		return 0;
	return explain(host, "remove the route", prefix,
		       netlink_route_remove(host->netlink, &route), error);
}

int host_set_mtu(struct host *host, unsigned mtu, struct error *error)
{
	int r = netlink_set_mtu(host->netlink, host->index, mtu);
	if (r == 0) {
		host->options.mtu = mtu;
		return 0;
	}
	error_set(error, -r, "cannot set the MTU of interface %s to %u: %s", host->interface, mtu,
		  strerror(-r));
	return advise(error, host, NULL, -r);
}

bool host_has_address(struct host *host, const struct addr *addr)
{
	return netlink_has_address(host->netlink, addr);
}
