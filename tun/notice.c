// SPDX-License-Identifier: Apache-2.0

#include "tun/notice.h"

#include <errno.h>
#include <stdint.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <netlink/msg.h>

#define GATHER_US 100000u
// The loop has other work: what is not read now wakes it again.
#define READ_MAX 64
#define ROOM	 (1 << 20)

struct notices {
	int fd;
	unsigned index;
	unsigned table;
	bool own;
	bool others;
	sd_event_source *source;
	sd_event_source *timer;
	notices_handler handler;
	void *data;
};

static void judge_route(struct notices *notices, struct nlmsghdr *message)
{
	const struct rtmsg *header = nlmsg_data(message);
	if (header->rtm_flags & RTM_F_CLONED)
		return;
	struct nlattr *table = nlmsg_find_attr(message, sizeof(*header), RTA_TABLE);
	struct nlattr *device = nlmsg_find_attr(message, sizeof(*header), RTA_OIF);
	if ((table ? nla_get_u32(table) : header->rtm_table) != notices->table &&
	    (!device || nla_get_u32(device) != notices->index))
		notices->others = true;
}

static void judge(struct notices *notices, struct nlmsghdr *message)
{
	int size = nlmsg_datalen(message);
	const struct ifinfomsg *link = nlmsg_data(message);
	const struct ifaddrmsg *address = nlmsg_data(message);
	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		if (size >= (int)sizeof(*link) && link->ifi_index == (int)notices->index)
			notices->own = true;
		else
			notices->others = true;
		return;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		if (size >= (int)sizeof(*address) && address->ifa_index != notices->index)
			notices->others = true;
		return;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		if (size >= (int)sizeof(struct rtmsg))
			judge_route(notices, message);
		return;
	default:
		return;
	}
}

// Whether there may be more.
static bool read_some(struct notices *notices)
{
	_Alignas(struct nlmsghdr) char buffer[32768];
	struct sockaddr_nl from = {0};
	socklen_t from_size = sizeof(from);
	ssize_t n = recvfrom(notices->fd, buffer, sizeof(buffer), MSG_TRUNC,
			     (struct sockaddr *)&from, &from_size);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n < 0 || (size_t)n > sizeof(buffer)) {
		// ENOBUFS: some were lost. Anything may have changed.
		notices->own = true;
		notices->others = true;
		return n >= 0;
	}
	if (from.nl_pid != 0) // not from the kernel
		return true;
	int left = (int)n;
	for (struct nlmsghdr *message = (struct nlmsghdr *)buffer; nlmsg_ok(message, left);
	     message = nlmsg_next(message, &left))
		judge(notices, message);
	return true;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	struct notices *notices = data;
	bool own = notices->own;
	bool others = notices->others;
	(void)source;
	(void)usec;
	notices->own = false;
	notices->others = false;
	notices->handler(notices->data, own, others);
	return 0;
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct notices *notices = data;
	int enabled = SD_EVENT_OFF;
	(void)source;
	(void)fd;
	(void)revents;
	for (unsigned i = 0; i < READ_MAX && read_some(notices); i++)
		;
	sd_event_source_get_enabled(notices->timer, &enabled);
	if ((!notices->own && !notices->others) || enabled != SD_EVENT_OFF)
		return 0;
	sd_event_source_set_time_relative(notices->timer, GATHER_US);
	return sd_event_source_set_enabled(notices->timer, SD_EVENT_ONESHOT);
}

static int open_socket(int *ret)
{
	const int room = ROOM;
	struct sockaddr_nl groups = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
			     RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE,
	};
	_cleanup_(closep) int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return -errno;
	// As much as we may have; too little is found out by ENOBUFS.
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (bind(fd, (struct sockaddr *)&groups, sizeof(groups)) < 0)
		return -errno;
	*ret = take_fd(&fd);
	return 0;
}

int notices_new(sd_event *event, unsigned index, unsigned table, notices_handler handler,
		void *data, struct notices **ret)
{
	_cleanup_(notices_freep) struct notices *notices = calloc(1, sizeof(*notices));
	if (!notices)
		return -ENOMEM;
	notices->fd = -1;
	notices->index = index;
	notices->table = table;
	notices->handler = handler;
	notices->data = data;
	int r = open_socket(&notices->fd);
	if (r == 0)
		r = sd_event_add_io(event, &notices->source, notices->fd, EPOLLIN, on_readable,
				    notices);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &notices->timer, CLOCK_MONOTONIC, GATHER_US,
					       0, on_timer, notices);
	if (r >= 0)
		r = sd_event_source_set_enabled(notices->timer, SD_EVENT_OFF);
	if (r < 0)
		return r;
	*ret = take(notices);
	return 0;
}

struct notices *notices_free(struct notices *notices)
{
	if (!notices)
		return NULL;
	sd_event_source_disable_unref(notices->source);
	sd_event_source_disable_unref(notices->timer);
	closep(&notices->fd);
	free(notices);
	return NULL;
}
