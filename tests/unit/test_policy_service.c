// SPDX-License-Identifier: Apache-2.0

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"
#include "server/policy_interval.h"
#include "server/policy_service.h"

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		int count;
		uint8_t protocols[2];
		unsigned first, last;
		const char *again; // the first part
	} cases[] = {
		{"any", 1, {0}, 0, 65535, "any"},
		{"tcp", 1, {6}, 0, 65535, "tcp"},
		{"tcp/443", 1, {6}, 443, 443, "tcp/443"},
		{"udp/5000-5100", 1, {17}, 5000, 5100, "udp/5000-5100"},
		{"sctp/0-65535", 1, {132}, 0, 65535, "sctp"},
		{"icmp", 1, {1, 58}, 0, 65535, "icmp"},
		{"icmp/echo-request", 2, {1}, 0x800, 0x8ff, "icmp/8"},
		{"icmp/packet-too-big", 2, {1}, 0x304, 0x304, "icmp/3/4"},
		{"icmp/8", 1, {1}, 0x800, 0x8ff, "icmp/8"},
		{"icmp/3/4", 1, {1}, 0x304, 0x304, "icmp/3/4"},
		{"icmpv6", 1, {58}, 0, 65535, "icmpv6"},
		{"icmpv6/128", 1, {58}, 0x8000, 0x80ff, "icmpv6/128"},
		{"icmpv6/echo-reply", 1, {58}, 0x8100, 0x81ff, "icmpv6/129"},
		{"esp", 1, {50}, 0, 65535, "esp"},
		{"proto/47", 1, {47}, 0, 65535, "gre"},
		{"proto/1", 1, {1}, 0, 65535, "proto/1"},
		{"proto/99", 1, {99}, 0, 65535, "proto/99"},
	};
	struct rule_service parts[POLICY_SERVICE_PARTS];
	char text[POLICY_SERVICE_TEXT_MAX];
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int count = policy_service_parse(cases[i].text, parts, NULL);
		if (count != cases[i].count)
			fail_msg("%s: %d", cases[i].text, count);
		assert_memory_equal(parts[0].protocols, cases[i].protocols, 2);
		assert_int_equal(parts[0].first, cases[i].first);
		assert_int_equal(parts[0].last, cases[i].last);
		assert_string_equal(policy_service_text(&parts[0], text), cases[i].again);
	}
}

static void test_wrong(void **state)
{
	static const char *const wrong[] = {"",
					    "TCP",
					    "tcp/",
					    "tcp/65536",
					    "tcp/5-4",
					    "tcp/5-",
					    "tcp/05",
					    "tcp/ 5",
					    "tcp/5/6",
					    "icmp/256",
					    "icmp/3/256",
					    "icmp/3/4/5",
					    "icmp/ping",
					    "esp/5",
					    "proto/",
					    "proto/256",
					    "proto/-1",
					    "any/5",
					    "http",
					    "icmp/3/",
					    "tcp/1-2-3",
					    "proto/4294967302",
					    "icmpv6/echo-reques"};
	struct rule_service parts[POLICY_SERVICE_PARTS];
	struct error error;
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		if (policy_service_parse(wrong[i], parts, &error) != -EINVAL)
			fail_msg("\"%s\"", wrong[i]);
		assert_true(error.what[0] && error.expected[0]);
	}
}

// Every port of a protocol is in just one interval, and every service is a union of some.
static void test_intervals(void **state)
{
	static const struct rule_service services[] = {
		{.protocols = {6}, .first = 443, .last = 443},
		{.protocols = {6}, .first = 400, .last = 65535},
		{.protocols = {1, 58}, .first = 0, .last = 65535},
		{.any_protocol = true},
	};
	static const struct policy_interval expected[] = {
		{.protocol = 1, .last = 65535},
		{.protocol = 6, .last = 399},
		{.protocol = 6, .first = 400, .last = 442},
		{.protocol = 6, .first = 443, .last = 443},
		{.protocol = 6, .first = 444, .last = 65535},
		{.protocol = 58, .last = 65535},
		{.protocol = 255, .others = true, .last = 65535},
	};
	_cleanup_(policy_intervals_freep) struct policy_intervals *intervals =
		policy_intervals_new();
	_cleanup_(freep) struct policy_interval *list = NULL;
	size_t count;
	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(policy_intervals_add(intervals, services, 4), 0);
	assert_int_equal(policy_intervals_list(intervals, &list, &count), 0);
	assert_int_equal(count, sizeof(expected) / sizeof(*expected));
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(list[i].protocol, expected[i].protocol);
		assert_int_equal(list[i].others, expected[i].others);
		assert_int_equal(list[i].first, expected[i].first);
		assert_int_equal(list[i].last, expected[i].last);
	}
	assert_true(policy_interval_within(&list[4], &services[1]));
	assert_false(policy_interval_within(&list[1], &services[1]));
	assert_true(policy_interval_within(&list[6], &services[3]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_intervals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
