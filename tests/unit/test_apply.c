// SPDX-License-Identifier: Apache-2.0
// What several owners want of one host, in a network namespace of its own; what was touched is counted by the kernel's notices.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <unistd.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "base/error.h"
#include "client/apply.h"
#include "unit/net_fixture.h"
#include "unit/spent.h"

#define ITEMS_MAX 8
#define MANY	  65280u // of each family
#define ROUTES	  "ip -4 route show table 51820; ip -6 route show table 51820"
#define ADDRESSES "ip addr show dev mutun0"

struct scene {
	struct net *net;
	struct host *host;
	struct apply *apply;
	int notices; // of addresses and kernel routes
};

static void scene_open(struct scene *scene, struct net *net)
{
	struct sockaddr_nl groups = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
			     RTMGRP_IPV6_ROUTE,
	};
	scene->net = net;
	scene->host = net_host(net);
	scene->apply = apply_new(scene->host, NULL);
	assert_non_null(scene->apply);
	scene->notices = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
	assert_true(scene->notices >= 0);
	assert_int_equal(bind(scene->notices, (struct sockaddr *)&groups, sizeof(groups)), 0);
	free(net_run(
		"ip route add blackhole 192.0.2.0/24 table 51820")); // so that there is a table
	free(net_run("ip -6 route add blackhole 100::/64 table 51820"));
}

static void scene_close(struct scene *scene)
{
	apply_free(scene->apply);
	assert_int_equal(net_count(ROUTES, "mutun0"), 0);
	assert_int_equal(net_count(ADDRESSES, "inet"), 0);
	free(net_run("ip route flush table 51820; ip -6 route flush table 51820"));
	host_free(scene->host);
	close(scene->notices);
	net_assert_clean(scene->net);
}

struct touched {
	unsigned added;
	unsigned removed;
};

static bool is_in_local(const struct nlmsghdr *message)
{
	const struct rtmsg *route = NLMSG_DATA(message);
	return route->rtm_table == RT_TABLE_LOCAL; // comes and goes with an address
}

// What the kernel told since the last time. It tells of a new IPv6 address from a work queue, so a little later.
static struct touched touched(const struct scene *scene)
{
	struct touched result = {0};
	usleep(100000);
	_Alignas(struct nlmsghdr) char buffer[32768];
	for (;;) {
		ssize_t n = recv(scene->notices, buffer, sizeof(buffer), 0);
		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			return result;
		}
		struct nlmsghdr *message = (struct nlmsghdr *)buffer;
		for (unsigned left = (unsigned)n; NLMSG_OK(message, left);
		     message = NLMSG_NEXT(message, left)) {
			unsigned type = message->nlmsg_type;
			bool route = type == RTM_NEWROUTE || type == RTM_DELROUTE;
			if (route && is_in_local(message))
				continue;
			result.added += type == RTM_NEWROUTE || type == RTM_NEWADDR;
			result.removed += type == RTM_DELROUTE || type == RTM_DELADDR;
		}
	}
}

static void assert_touched(const struct scene *scene, unsigned added, unsigned removed)
{
	struct touched now = touched(scene);
	assert_int_equal(now.added, added);
	assert_int_equal(now.removed, removed);
}

static unsigned parse_all(const char *text, struct prefix *prefixes)
{
	char copy[256];
	char *rest = NULL;
	unsigned count = 0;
	assert_true(strlen(text) < sizeof(copy));
	memcpy(copy, text, strlen(text) + 1);
	for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		assert_true(count < ITEMS_MAX);
		prefixes[count++] = net_prefix(word);
	}
	return count;
}

// Both are lists of prefixes with spaces between.
static int set(struct scene *scene, const char *owner, const char *addresses, const char *routes,
	       struct error *error)
{
	struct prefix address_list[ITEMS_MAX];
	struct prefix route_list[ITEMS_MAX];
	unsigned address_count = parse_all(addresses, address_list);
	unsigned route_count = parse_all(routes, route_list);
	return apply_set(scene->apply, owner, address_list, address_count, route_list, route_count,
			 error);
}

static void what_two_want_stays_for_the_second(void **state)
{
	struct scene scene;
	scene_open(&scene, *state);
	assert_int_equal(set(&scene, "a", "10.90.0.5", "10.1.0.0/16 10.2.0.0/16", NULL), 0);
	assert_int_equal(set(&scene, "b", "10.90.0.5", "10.2.0.0/16 fd03::/48", NULL), 0);
	assert_int_equal(net_count(ROUTES, "mutun0"), 4 - 1);
	touched(&scene);
	apply_clear(scene.apply, "a");
	assert_touched(&scene, 0, 1);
	assert_false(net_says(ROUTES, "10.1.0.0/16"));
	assert_true(net_says(ROUTES, "10.2.0.0/16"));
	assert_true(net_says(ADDRESSES, "10.90.0.5/32"));
	apply_clear(scene.apply, "a");
	apply_clear(scene.apply, "nobody");
	assert_touched(&scene, 0, 0);
	apply_clear(scene.apply, "b");
	assert_int_equal(net_count(ROUTES, "mutun0"), 0);
	assert_int_equal(net_count(ADDRESSES, "inet"), 0);
	assert_int_equal(set(&scene, "b", "10.90.0.6 fd90::6", "::/0", NULL), 0);
	scene_close(&scene);
}

static void what_stays_is_not_touched(void **state)
{
	struct scene scene;
	scene_open(&scene, *state);
	assert_int_equal(
		set(&scene, "a", "10.90.0.5 fd90::5", "10.1.0.0/16 10.2.0.0/16 ::/0", NULL), 0);
	touched(&scene);
	assert_int_equal(
		set(&scene, "a", "fd90::5 10.90.0.5", "::/0 10.2.0.0/16 10.1.0.0/16", NULL), 0);
	assert_touched(&scene, 0, 0);
	assert_int_equal(
		set(&scene, "a", "fd90::5 10.90.0.5", "10.1.0.0/16 ::/0 10.1.0.0/16", NULL), 0);
	assert_touched(&scene, 0, 1);
	assert_int_equal(set(&scene, "a", "10.90.0.5 10.90.0.6", "10.1.0.0/17 ::/0", NULL), 0);
	assert_touched(&scene, 3,
		       2); // one of each kind, in and out; ::/0 has lost its preferred source
	assert_true(net_says(ROUTES, "10.1.0.0/17"));
	assert_false(net_says(ROUTES, "10.1.0.0/16"));
	assert_int_equal(set(&scene, "a", "", "", NULL), 0);
	assert_int_equal(net_count(ROUTES, "mutun0"), 0);
	scene_close(&scene);
}

static void routes_prefer_their_owners_address(void **state)
{
	struct scene scene;
	scene_open(&scene, *state);
	assert_int_equal(set(&scene, "a", "10.90.0.5 fd90::5", "10.1.0.0/16 fd01::/64", NULL), 0);
	assert_int_equal(set(&scene, "b", "10.91.0.5", "10.2.0.0/16", NULL), 0);
	assert_true(net_says(ROUTES, "src 10.90.0.5"));
	assert_true(net_says(ROUTES, "src fd90::5"));
	assert_true(net_says(ROUTES, "src 10.91.0.5"));
	assert_int_equal(set(&scene, "b", "10.91.0.6", "10.2.0.0/16", NULL), 0);
	assert_true(net_says(ROUTES, "src 10.91.0.6"));
	assert_false(net_says(ROUTES, "src 10.91.0.5"));
	scene_close(&scene);
}

static void failure_leaves_all_as_it_was(void **state)
{
	struct scene scene;
	struct error error = {0};
	scene_open(&scene, *state);
	assert_int_equal(set(&scene, "a", "10.90.0.5", "10.1.0.0/16 10.2.0.0/16", NULL), 0);
	assert_int_equal(set(&scene, "b", "10.90.0.6", "10.3.0.0/16", NULL), 0);
	_cleanup_(freep) char *before = net_state();
	// Host bits in the last route: the kernel refuses it after the others were made.
	assert_int_equal(set(&scene, "a", "10.90.0.6 10.90.0.7 fd90::7",
			     "10.1.0.0/16 10.3.0.0/16 10.4.0.0/16 172.16.0.1/12", &error),
			 -EINVAL);
	assert_non_null(strstr(error.what, "172.16.0.1/12"));
	_cleanup_(freep) char *after = net_state();
	assert_string_equal(before, after);
	assert_int_equal(set(&scene, "c", "10.90.0.8", "172.16.0.1/12", &error), -EINVAL);
	_cleanup_(freep) char *again = net_state();
	assert_string_equal(before, again);
	// A failing address comes before any route is made.
	touched(&scene);
	assert_int_equal(set(&scene, "a", "10.90.0.5 ff02::1", "10.5.0.0/16", &error),
			 -EADDRNOTAVAIL);
	assert_touched(&scene, 0, 0);
	// And the lists are the old ones: to set them again changes nothing.
	assert_int_equal(set(&scene, "a", "10.90.0.5", "10.1.0.0/16 10.2.0.0/16", NULL), 0);
	assert_touched(&scene, 0, 0);
	scene_close(&scene);
}

static void an_address_moves_within_its_subnet(void **state)
{
	struct scene scene;
	scene_open(&scene, *state);
	assert_int_equal(set(&scene, "gateway", "10.90.0.1/16 fd90::1/64", "10.90.0.0/16", NULL),
			 0);
	assert_int_equal(set(&scene, "gateway", "10.90.0.2/16 fd90::1/112", "10.90.0.0/16", NULL),
			 0);
	assert_int_equal(net_count(ADDRESSES, "inet "), 1);
	assert_true(net_says(ADDRESSES, "inet 10.90.0.2/16"));
	assert_int_equal(net_count(ADDRESSES, "inet6 "), 1);
	assert_true(net_says(ADDRESSES, "inet6 fd90::1/112"));
	scene_close(&scene);
}

static void fill(struct prefix *prefixes)
{
	for (unsigned i = 0; i < MANY; i++) {
		prefixes[i] = net_prefix("10.0.0.0/24");
		prefixes[i].addr.bytes[1] = (uint8_t)(i >> 8);
		prefixes[i].addr.bytes[2] = (uint8_t)i;
		prefixes[MANY + i] = net_prefix("fd00::/64");
		prefixes[MANY + i].addr.bytes[6] = (uint8_t)(i >> 8);
		prefixes[MANY + i].addr.bytes[7] = (uint8_t)i;
	}
}

static void took(const char *what, uint64_t since)
{
	uint64_t ms = spent_ms() - since;
	printf("%s: %u ms\n", what, (unsigned)ms);
	assert_true(ms < 20000);
}

static void very_many_routes(void **state)
{
	struct scene scene;
	unsigned count = 2 * MANY;
	_cleanup_(freep) struct prefix *prefixes = calloc(count, sizeof(*prefixes));
	assert_non_null(prefixes);
	scene_open(&scene, *state);
	fill(prefixes);
	uint64_t start = spent_ms();
	assert_int_equal(apply_set(scene.apply, "a", NULL, 0, prefixes, count, NULL), 0);
	took("130,560 routes made", start);
	assert_int_equal(net_count(ROUTES, "mutun0"), count);
	start = spent_ms();
	assert_int_equal(apply_set(scene.apply, "a", NULL, 0, prefixes, count - 1, NULL), 0);
	took("one of them dropped", start);
	start = spent_ms();
	assert_int_equal(apply_set(scene.apply, "b", NULL, 0, prefixes, count, NULL), 0);
	took("all wanted by another too", start);
	assert_int_equal(net_count(ROUTES, "mutun0"), count);
	apply_clear(scene.apply, "b");
	start = spent_ms();
	apply_clear(scene.apply, "a");
	took("all taken back", start);
	scene_close(&scene);
}

#define in_namespace(test) cmocka_unit_test_setup_teardown(test, net_setup, net_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_namespace(what_two_want_stays_for_the_second),
		in_namespace(what_stays_is_not_touched),
		in_namespace(routes_prefer_their_owners_address),
		in_namespace(failure_leaves_all_as_it_was),
		in_namespace(an_address_moves_within_its_subnet),
		in_namespace(very_many_routes),
	};
	return net_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
