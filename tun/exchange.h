// SPDX-License-Identifier: Apache-2.0
// Questions to the kernel over rtnetlink, one at a time. For netlink.c alone; libnl's codes end here.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <linux/netlink.h>

#include "base/cleanup.h"

struct exchange;
struct nl_msg;

int exchange_open(struct exchange **ret);		    // 0 or -errno
struct exchange *exchange_close(struct exchange *exchange); // takes NULL, returns NULL
DEFINE_CLEANUP(struct exchange *, exchange_close);

// A new message with its fixed part; NULL: out of memory. It has a page of room, and none of ours comes near that: whoever
// adds attributes need not ask whether they fit.
struct nl_msg *exchange_message(int type, int flags, void *fixed, size_t size);

// Asks, and calls `handler` (may be NULL) with each message of the answer. A dump that was overtaken by a change is begun
// again, so a message may come twice. Takes the question in every case; NULL is -ENOMEM. 0, or the kernel's -errno; -EAGAIN
// when a dump was overtaken again and again.
int exchange_ask(struct exchange *exchange, struct nl_msg *question,
		 void (*handler)(void *data, struct nlmsghdr *message), void *data);

struct exchange_sweep {
	size_t fixed; // bytes of the fixed part; shorter messages are skipped
	bool (*matches)(const struct nlmsghdr *message, const void *data);
	const void *data;
};
// Removes everything in the answer to a dump that matches. Takes the question. 0, or the last failure.
int exchange_sweep(struct exchange *exchange, struct nl_msg *question,
		   const struct exchange_sweep *sweep);
