// SPDX-License-Identifier: Apache-2.0
// What is done to a host, in a network namespace of its own: asked of the kernel with ip(8), before, while and after.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "base/error.h"
#include "unit/net_fixture.h"

#define RULES	    "ip -4 rule; ip -6 rule"
#define MARK_RULE   "500:\tfrom all fwmark 0x6d75 lookup main proto 109"
#define TABLE_RULE  "501:\tnot from all fwmark 0x6d75 lookup 51820 proto 109"
#define ROUTES_HERE "ip -4 route show table 51820; ip -6 route show table 51820"

static void add_address(struct host *host, const char *text)
{
	struct prefix prefix = net_prefix(text);
	assert_int_equal(host_address_add(host, &prefix, NULL), 0);
}

static void remove_address(struct host *host, const char *text)
{
	struct prefix prefix = net_prefix(text);
	assert_int_equal(host_address_remove(host, &prefix, NULL), 0);
}

static void add_route(struct host *host, const char *text)
{
	struct prefix prefix = net_prefix(text);
	assert_int_equal(host_route_add(host, &prefix, NULL, NULL), 0);
}

static void remove_route(struct host *host, const char *text)
{
	struct prefix prefix = net_prefix(text);
	assert_int_equal(host_route_remove(host, &prefix, NULL), 0);
}

static void quiet(const char *command)
{
	free(net_run(command));
}

static void interface_and_rules(void **state)
{
	struct net *net = *state;
	struct host *host = net_host(net);
	const char *show = "ip -d link show dev mutun0";
	assert_true(net_says(show, "tun type tun pi off vnet_hdr on"));
	assert_true(net_says(show, "persist off"));
	assert_true(net_says(show, "multi_queue"));
	assert_true(net_says(show, "numqueues 2"));
	assert_true(net_says(show, "mtu 1400"));
	assert_true(net_says(show, ",UP"));
	assert_true(net_says(show, "addrgenmode none"));
	assert_false(net_says("ip addr show dev mutun0", "inet"));
	assert_int_equal(net_count(RULES, MARK_RULE), 2);
	assert_int_equal(net_count(RULES, TABLE_RULE), 2);
	assert_int_equal(net_count("ip -4 rule", "proto 109"), 2);
	assert_int_equal(net_count("ip route show table all", "51820"), 0);
	assert_int_not_equal(host_interface_index(host), 0);
	assert_int_equal(host_set_mtu(host, 1300, NULL), 0);
	assert_true(net_says(show, "mtu 1300"));
	for (unsigned i = 0; i < 2; i++) {
		char byte = 0;
		assert_int_not_equal(fcntl(host_queue(host, i), F_GETFD) & FD_CLOEXEC, 0);
		assert_int_equal(read(host_queue(host, i), &byte, 1), -1);
		assert_int_equal(errno, EAGAIN);
	}
	assert_int_equal(host_queue(host, 2), -1);
	host_free(host);
	net_assert_clean(net);
}

static void addresses_bring_no_routes(void **state)
{
	struct net *net = *state;
	_cleanup_(host_freep) struct host *host = net_host(net);
	_cleanup_(freep) char *main_before = net_run("ip -4 route; ip -6 route");
	for (unsigned i = 0; i < 2; i++) { // the second time it is there already
		add_address(host, "10.90.0.1/16");
		add_address(host, "10.91.0.7");
		add_address(host, "fd90::1/64");
	}
	_cleanup_(freep) char *main_after = net_run("ip -4 route; ip -6 route");
	assert_string_equal(main_before, main_after);
	assert_int_equal(net_count("ip addr show dev mutun0", "inet "), 2);
	assert_int_equal(net_count("ip addr show dev mutun0", "inet6 "), 1);
	assert_true(net_says("ip addr show dev mutun0", "inet 10.90.0.1/16"));
	assert_true(
		net_says("ip addr show dev mutun0", "inet6 fd90::1/64 scope global nodad nopref"));
	assert_false(net_says("ip addr show dev mutun0", "tentative"));
	struct addr addr = net_prefix("fd90::1").addr;
	assert_true(host_has_address(host, &addr));
	remove_address(host, "fd90::1/64");
	remove_address(host, "fd90::1/64");
	assert_false(host_has_address(host, &addr));
	addr = net_prefix("10.90.0.1").addr;
	assert_true(host_has_address(host, &addr));
	remove_address(host, "10.90.0.1/16");
	remove_address(host, "10.90.0.1/16");
	assert_false(host_has_address(host, &addr));
	addr = net_prefix("127.0.0.1").addr;
	assert_true(host_has_address(host, &addr));
	assert_int_equal(net_count("ip addr show dev mutun0", "inet"), 1);
}

// The kernel's default is to remove the other addresses of the subnet with the first.
static void one_address_does_not_take_the_others(void **state)
{
	struct net *net = *state;
	_cleanup_(host_freep) struct host *host = net_host(net);
	add_address(host, "10.90.0.1/16");
	add_address(host, "10.90.0.2/16");
	remove_address(host, "10.90.0.1/16");
	assert_true(net_says("ip addr show dev mutun0", "inet 10.90.0.2/16"));
}

static void routes_in_our_table(void **state)
{
	struct net *net = *state;
	_cleanup_(host_freep) struct host *host = net_host(net);
	struct prefix odd = net_prefix("10.1.2.3/16");
	struct error error = {0};
	for (unsigned i = 0; i < 2; i++) {
		add_route(host, "0.0.0.0/0");
		add_route(host, "10.1.0.0/16");
		add_route(host, "::/0");
		add_route(host, "fd01::/48");
	}
	assert_true(net_says(ROUTES_HERE, "default dev mutun0 proto 109 scope link"));
	assert_true(net_says(ROUTES_HERE, "10.1.0.0/16 dev mutun0 proto 109 scope link"));
	assert_true(net_says(ROUTES_HERE, "default dev mutun0 proto 109 metric 1024"));
	assert_true(net_says(ROUTES_HERE, "fd01::/48 dev mutun0 proto 109 metric 1024"));
	assert_int_equal(net_count(ROUTES_HERE, "mutun0"), 4);
	assert_int_equal(net_count("ip route; ip -6 route", "mutun0"), 0);
	assert_int_equal(host_route_add(host, &odd, NULL, &error), -EINVAL);
	assert_non_null(strstr(error.what, "10.1.2.3/16"));
	for (unsigned i = 0; i < 2; i++) {
		remove_route(host, "0.0.0.0/0");
		remove_route(host, "fd01::/48");
	}
	assert_int_equal(net_count(ROUTES_HERE, "mutun0"), 2);
}

static int send_marked(uint32_t mark)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	_cleanup_(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	inet_pton(AF_INET, "10.1.0.5", &to.sin_addr);
	if (mark)
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)), 0);
	return sendto(fd, "mutun", 5, 0, (struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
}

static void packets_enter_but_our_own_do_not(void **state)
{
	struct net *net = *state;
	_cleanup_(host_freep) struct host *host = net_host(net);
	uint8_t packet[2048];
	ssize_t n = -1;
	add_address(host, "10.90.0.1/16");
	add_route(host, "10.1.0.0/16");
	// Main has no route: then there is none, and not the tunnel's.
	assert_int_equal(send_marked(NET_MARK), -ENETUNREACH);
	assert_int_equal(send_marked(0), 0);
	struct pollfd fds[2] = {
		{.fd = host_queue(host, 0), .events = POLLIN},
		{.fd = host_queue(host, 1), .events = POLLIN},
	};
	assert_int_equal(poll(fds, 2, 1000), 1);
	n = read(fds[0].revents ? fds[0].fd : fds[1].fd, packet, sizeof(packet));
	assert_int_equal(n, 12 + 20 + 8 + 5); // virtio_net_hdr_v1, IPv4, UDP
	assert_int_equal(packet[12], 0x45);
	assert_memory_equal(packet + n - 5, "mutun", 5);
}

static int try_new(struct net *net, const char *name, struct error *error)
{
	struct host_options options = net_options();
	struct host *host = NULL;
	options.interface = name;
	int r = host_new(net->event, &options, net_changed, net, &host, error);
	host_free(host);
	return r;
}

static void a_name_in_use_is_refused(void **state)
{
	struct net *net = *state;
	struct error error = {0};
	quiet("ip tuntap add dev mutun0 mode tun multi_queue vnet_hdr");
	assert_int_equal(try_new(net, "mutun0", &error), -EBUSY);
	assert_string_equal(error.what, "interface mutun0 exists and is not ours");
	assert_non_null(strstr(error.remedy, "ip link delete mutun0"));
	assert_true(net_says("ip link show", "mutun0"));
	assert_int_equal(net_count(RULES, "109"), 0);
	quiet("ip link delete mutun0");
	struct host *host = net_host(net);
	add_route(host, "10.1.0.0/16");
	_cleanup_(freep) char *first = net_state();
	assert_int_equal(try_new(net, "mutun0", &error), -EBUSY);
	_cleanup_(freep) char *after = net_state();
	assert_string_equal(first, after); // the first one's rules and routes are no leftovers
	host_free(host);
	net_assert_clean(net);
}

static void odd_names_are_refused(void **state)
{
	struct net *net = *state;
	const char *names[] = {"", "a/b", "mutun%d", "sixteen-bytes-xx", "a b", "..", "a:b"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct error error = {0};
		assert_int_equal(try_new(net, names[i], &error), -EINVAL);
		assert_non_null(strstr(error.expected, "1-15 bytes"));
	}
	struct host_options options = net_options();
	struct host *host = NULL;
	options.queues = HOST_QUEUES_MAX + 1;
	assert_int_equal(host_new(net->event, &options, NULL, NULL, &host, NULL), -EINVAL);
	net_assert_clean(net);
}

// Runs `child` in a process of its own and kills that with SIGKILL once it has done all.
static void run_and_kill(struct net *net, void (*child)(struct net *net))
{
	int pipes[2];
	char byte = 0;
	int status = 0;
	assert_int_equal(pipe(pipes), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		child(net);
		if (write(pipes[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(pipes[1]);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	close(pipes[0]);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void make_and_fill(struct net *net)
{
	sd_event *event = NULL;
	if (sd_event_new(&event) < 0)
		_exit(1);
	net->event = event;
	struct host *host = net_host(net);
	add_address(host, "10.90.0.1/16");
	add_route(host, "10.1.0.0/16");
	add_route(host, "fd01::/48");
}

static void a_killed_predecessor_is_cleaned_up_after(void **state)
{
	struct net *net = *state;
	for (unsigned i = 0; i < 3; i++)
		run_and_kill(net, make_and_fill);
	assert_int_equal(net_count(RULES, MARK_RULE), 2); // that is what it leaves
	quiet("ip route add blackhole 10.7.0.0/16 table 51820");
	quiet("ip -6 route add unreachable fd07::/16 table 51820");
	quiet("ip rule add priority 500 fwmark 0x1 lookup main proto 109"); // another mark then
	quiet("ip rule add priority 501 not fwmark 0x6d75 lookup 51820"); // as ours, by another hand
	quiet("ip rule add priority 500 fwmark 0x2 lookup 77");		  // a stranger's
	quiet("ip route add blackhole 10.8.0.0/16 table 77");
	struct host *host = net_host(net);
	assert_int_equal(net_count(RULES, MARK_RULE), 2);
	assert_int_equal(net_count(RULES, "lookup 51820"), 2);
	assert_int_equal(net_count(RULES, "fwmark 0x1 "), 0);
	assert_int_equal(net_count(RULES, "fwmark 0x2 "), 1);
	assert_false(net_says("ip route show table all", "10.7.0.0"));
	assert_false(net_says("ip -6 route show table all", "fd07"));
	assert_true(net_says("ip route show table 77", "10.8.0.0"));
	host_free(host);
	quiet("ip rule del priority 500 fwmark 0x2 lookup 77");
	quiet("ip route del blackhole 10.8.0.0/16 table 77");
	net_assert_clean(net);
}

static void a_passed_on_queue_keeps_nothing(void **state)
{
	struct net *net = *state;
	struct host *host = net_host(net);
	_cleanup_(closep) int kept = fcntl(host_queue(host, 0), F_DUPFD_CLOEXEC, 3);
	assert_true(kept >= 0);
	add_address(host, "10.90.0.1/16");
	add_route(host, "0.0.0.0/0");
	host_free(host);
	net_assert_clean(net);
}

static void changes_are_told_once(void **state)
{
	struct net *net = *state;
	_cleanup_(host_freep) struct host *host = net_host(net);
	add_address(host, "10.90.0.1/16");
	add_address(host, "fd90::1/64");
	add_route(host, "10.1.0.0/16");
	remove_route(host, "10.1.0.0/16");
	assert_int_equal(host_set_mtu(host, 1350, NULL), 0);
	assert_int_equal(host_set_mtu(host, 1380, NULL), 0);
	quiet("ip route add 10.2.0.0/16 dev mutun0");		 // ours by the interface
	quiet("ip route add blackhole 10.3.0.0/16 table 51820"); // ours by the table
	net_loop(net, 200);
	assert_int_equal(net->changes, 0);
	quiet("for i in 1 2 3 4 5 6 7 8; do ip addr add 10.5.0.$i/32 dev lo; done");
	net_loop(net, 250);
	assert_int_equal(net->changes, 1);
	quiet("ip route add blackhole 10.4.0.0/16");
	net_loop(net, 250);
	assert_int_equal(net->changes, 2);
	quiet("ip link add other type veth peer name another 2>/dev/null || "
	      "ip tuntap add dev other mode tun");
	net_loop(net, 250);
	assert_int_equal(net->changes, 3);
	quiet("ip -6 addr add fd05::1/128 dev lo");
	net_loop(net, 250);
	assert_int_equal(net->changes, 4);
}

static void trouble_is_told(void **state)
{
	struct net *net = *state;
	struct host *host = net_host(net);
	net_loop(net, 150);
	assert_int_equal(net->changes, 0);
	const char *troubles[] = {"ip link set mutun0 down", "ip link set mutun0 up",
				  "ip link set mutun0 mtu 1280", "ip link set mutun0 mtu 1400",
				  "ip link set mutun0 down name tun7"};
	for (unsigned i = 0; i < sizeof(troubles) / sizeof(troubles[0]); i++) {
		quiet(troubles[i]);
		net_loop(net, 150);
		assert_int_equal(net->changes, i + 1);
	}
	quiet("ip link delete tun7");
	net_loop(net, 150);
	assert_true(net->changes >= 6);
	struct prefix prefix = net_prefix("10.1.0.0/16");
	struct error error = {0};
	assert_int_equal(host_route_add(host, &prefix, NULL, &error), -ENODEV);
	assert_non_null(strstr(error.remedy, "restart mutund"));
	host_free(host);
	net_assert_clean(net);
}

static void moved_away_leaves_nothing(void **state)
{
	struct net *net = *state;
	struct host *host = net_host(net);
	add_route(host, "10.1.0.0/16");
	int pipes[2];
	char byte = 0;
	assert_int_equal(pipe(pipes), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) { // the other namespace
		if (unshare(CLONE_NEWNET) == 0 && write(pipes[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	char command[64];
	snprintf(command, sizeof(command), "ip link set mutun0 netns %d", (int)pid);
	quiet(command);
	net_loop(net, 150);
	assert_int_equal(net->changes, 1);
	host_free(host);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(pipes[0]);
	close(pipes[1]);
	net_assert_clean(net);
}

// 65,280 routes, and nobody reads the notices meanwhile: their overflow counts as a change.
static void very_many_routes(void **state)
{
	struct net *net = *state;
	struct host *host = net_host(net);
	struct prefix prefix = net_prefix("10.0.0.0/24");
	for (unsigned i = 0; i < 65280; i++) {
		prefix.addr.bytes[1] = (uint8_t)(i >> 8);
		prefix.addr.bytes[2] = (uint8_t)i;
		assert_int_equal(host_route_add(host, &prefix, NULL, NULL), 0);
	}
	net_loop(net, 600);
	assert_int_equal(net->changes, 1);
	assert_int_equal(net_count(ROUTES_HERE, "mutun0"), 65280);
	host_free(host);
	net_assert_clean(net);
}

static void without_ipv6_on_the_interface(void **state)
{
	struct net *net = *state;
	struct error error = {0};
	quiet("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6");
	struct host *host = net_host(net);
	struct prefix prefix = net_prefix("fd90::1");
	assert_int_equal(host_address_add(host, &prefix, &error), -EACCES);
	assert_non_null(strstr(error.remedy, "net.ipv6.conf.mutun0.disable_ipv6=0"));
	host_free(host);
	net_assert_clean(net);
}

// In a child: 0 when host_new() refused as expected.
static int refused(struct net *net, int code, const char *remedy)
{
	struct error error = {0};
	if (try_new(net, "mutun0", &error) == -code && strstr(error.remedy, remedy))
		return 0;
	fprintf(stderr, "code %d, %s, %s\n", error.code, error.what, error.remedy);
	return 1;
}

static int as_nobody(struct net *net)
{
	if (setuid(65534) < 0)
		return 2;
	return refused(net, EPERM, "run as root or with CAP_NET_ADMIN");
}

static int without_the_device(struct net *net)
{
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/dev/net", "tmpfs", 0, NULL) < 0)
		return 2;
	return refused(net, ENOENT, "modprobe tun");
}

static void assert_child(struct net *net, int (*child)(struct net *net))
{
	int status = 0;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(child(net));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void failures_say_what_to_do(void **state)
{
	struct net *net = *state;
	assert_child(net, as_nobody);
	assert_child(net, without_the_device);
	net_assert_clean(net);
}

#define in_namespace(test) cmocka_unit_test_setup_teardown(test, net_setup, net_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_namespace(interface_and_rules),
		in_namespace(addresses_bring_no_routes),
		in_namespace(one_address_does_not_take_the_others),
		in_namespace(routes_in_our_table),
		in_namespace(packets_enter_but_our_own_do_not),
		in_namespace(a_name_in_use_is_refused),
		in_namespace(odd_names_are_refused),
		in_namespace(a_killed_predecessor_is_cleaned_up_after),
		in_namespace(a_passed_on_queue_keeps_nothing),
		in_namespace(changes_are_told_once),
		in_namespace(trouble_is_told),
		in_namespace(moved_away_leaves_nothing),
		in_namespace(very_many_routes),
		in_namespace(without_ipv6_on_the_interface),
		in_namespace(failures_say_what_to_do),
	};
	return net_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
