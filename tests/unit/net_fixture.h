// SPDX-License-Identifier: Apache-2.0
// A network namespace for each test, and the means to look into it. Needs root and ip(8).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "base/addr.h"
#include "tun/host.h"

#define NET_TABLE    51820u // needs more than the 8 bits of the old field
#define NET_PRIORITY 500u
#define NET_MARK     0x6d75u

// Setup of a cmocka test: from now on this process is in a new, empty namespace with lo up. *state: a struct net *.
int net_setup(void **state);
int net_teardown(void **state);

struct net {
	sd_event *event;
	unsigned changes; // calls of net_changed()
	char *before;	  // net_state() at setup
};

// Whether these tests can run; says why not.
bool net_possible(void);

// Runs a command; fails the test if it fails. Returns what it wrote, to be freed.
char *net_run(const char *command);
// Whether what the command writes contains `text`.
bool net_says(const char *command, const char *text);
// How often.
unsigned net_count(const char *command, const char *text);
// All interfaces, addresses, routes and rules as one text, to be freed.
char *net_state(void);
// Fails unless the namespace is as at setup.
void net_assert_clean(const struct net *net);

// mutun0 with two queues; fails the test when it cannot be made.
struct host *net_host(struct net *net);
struct host_options net_options(void);
void net_changed(void *data); // for host_new(), with a struct net *
// Runs the loop for so long.
void net_loop(struct net *net, unsigned ms);

struct prefix net_prefix(const char *text); // host bits allowed
