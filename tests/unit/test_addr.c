// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "base/addr.h"

static struct addr addr(const char *text)
{
	struct addr value;
	if (addr_parse(text, &value) < 0)
		fail_msg("%s", text);
	return value;
}

static struct prefix prefix(const char *text)
{
	struct prefix value;
	if (prefix_parse(text, &value) < 0)
		fail_msg("%s", text);
	return value;
}

static void addresses_are_strict(void **state)
{
	static const char *const wrong[] = {"",		  "10.1.2",    "10.1.2.256", "010.1.2.3",
					    "10.1.2.3 ",  " 10.1.2.3", "10.1.2.3/8", "::g",
					    "fe80::1%lo", "[::1]",     "1::2::3",    "localhost",
					    "0x7f.1",	  "1.2.3.4.5", ":",	     "12345::"};
	struct addr value = {.family = 77};
	char text[ADDR_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (addr_parse(wrong[i], &value) != -EINVAL || value.family != 77)
			fail_msg("%s", wrong[i]);
	assert_string_equal(addr_text(&(struct addr){0}, text), "none");
	value = addr("10.1.2.3");
	assert_string_equal(addr_text(&value, text), "10.1.2.3");
	value = addr("FD00:0::0:1");
	assert_string_equal(addr_text(&value, text), "fd00::1");
	value = addr("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255");
	assert_int_equal(strlen(addr_text(&value, text)), 39);
}

static void prefixes_are_strict(void **state)
{
	static const struct {
		const char *text;
		int r;
	} wrong[] = {
		{"10.0.0.0/33", -EINVAL},
		{"10.0.0.0/", -EINVAL},
		{"10.0.0.0/+8", -EINVAL},
		{"10.0.0.0/08", -EINVAL},
		{"10.0.0.0/8 ", -EINVAL},
		{"::/129", -EINVAL},
		{"/8", -EINVAL},
		{"10.0.0.0/-1", -EINVAL},
		{"10.0.0.0/4294967304", -EINVAL},
		{"10.0.0.1/8", -EDOM},
		{"10.1.0.0/8", -EDOM},
		{"fd00::1/127", -EDOM},
		{"0.0.0.1/0", -EDOM},
		{"128.0.0.0/0", -EDOM},
		{"10.0.0.0/8/8", -EINVAL},
	};
	struct prefix value;
	char text[PREFIX_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (prefix_parse(wrong[i].text, &value) != wrong[i].r)
			fail_msg("%s", wrong[i].text);
	value = prefix("10.1.2.3");
	assert_string_equal(prefix_text(&value, text), "10.1.2.3/32");
	value = prefix("::");
	assert_string_equal(prefix_text(&value, text), "::/128");
	value = prefix("0.0.0.0/0");
	assert_string_equal(prefix_text(&value, text), "0.0.0.0/0");
	value = prefix("10.128.0.0/9");
	assert_string_equal(prefix_text(&value, text), "10.128.0.0/9");
}

static void endpoints_are_strict(void **state)
{
	static const char *const wrong[] = {
		"10.1.2.3", "10.1.2.3:",      "10.1.2.3:65536", "::1:443",  "[::1]",
		"[::1]443", "[10.1.2.3]:443", "10.1.2.3:0443",	":443",	    "[]:443",
		"name:443", "10.1.2.3:4a",    "[::1]:443x",	"[::1:443", ""};
	struct endpoint value;
	char text[ENDPOINT_TEXT_MAX], host[16];
	uint16_t port;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (endpoint_parse(wrong[i], &value) != -EINVAL)
			fail_msg("%s", wrong[i]);
	assert_int_equal(endpoint_parse("10.1.2.3:65535", &value), 0);
	assert_string_equal(endpoint_text(&value, text), "10.1.2.3:65535");
	assert_int_equal(endpoint_parse("[fd00::1]:443", &value), 0);
	assert_string_equal(endpoint_text(&value, text), "[fd00::1]:443");
	assert_int_equal(hostport_parse("vpn.example:443", host, sizeof(host), &port), 0);
	assert_string_equal(host, "vpn.example");
	assert_int_equal(port, 443);
	assert_int_equal(hostport_parse("[fd00::1]:1", host, sizeof(host), &port), 0);
	assert_string_equal(host, "fd00::1");
	assert_int_equal(hostport_parse("sixteen-letters-:1", host, sizeof(host), &port), -EINVAL);
	assert_int_equal(hostport_parse("fifteen-letters:1", host, sizeof(host), &port), 0);
}

static bool contains(const char *outer, const char *inner)
{
	struct prefix p = prefix(outer);
	struct addr a = addr(inner);
	return prefix_contains(&p, &a);
}

static void prefixes_contain(void **state)
{
	struct prefix a = prefix("10.0.0.0/8"), b = prefix("10.1.0.0/16"), c = prefix("11.0.0.0/8");

	(void)state;
	assert_true(contains("10.0.0.0/8", "10.255.0.1"));
	assert_false(contains("10.0.0.0/8", "11.0.0.0"));
	assert_true(contains("10.128.0.0/9", "10.200.0.0"));
	assert_false(contains("10.128.0.0/9", "10.127.255.255"));
	assert_true(contains("0.0.0.0/0", "255.0.0.1"));
	assert_false(contains("0.0.0.0/0", "::1"));
	assert_false(contains("::/0", "0.0.0.0"));
	assert_true(contains("fd00::1/128", "fd00::1"));
	assert_false(contains("fd00::1/128", "fd00::2"));
	assert_true(prefix_covers(&a, &b));
	assert_false(prefix_covers(&b, &a));
	assert_true(prefix_covers(&a, &a));
	assert_false(prefix_covers(&c, &b));
	assert_false(prefix_covers(&b, &c));
}

static void check_bits(const struct addr *masked, unsigned length)
{
	for (unsigned bit = 0; bit < 128; bit++) {
		bool set = masked->bytes[bit / 8] >> (7 - bit % 8) & 1;
		if (set != (bit < length))
			fail_msg("length %u, bit %u", length, bit);
	}
}

static void prefixes_are_masked(void **state)
{
	struct addr full = addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");

	(void)state;
	for (unsigned length = 0; length <= 128; length++) {
		struct prefix value = {.addr = full, .length = (uint8_t)length};
		value = prefix_masked(&value);
		check_bits(&value.addr, length);
	}
	full = addr("10.1.2.3");
	struct prefix value = prefix_of(&full);
	assert_int_equal(value.length, 32);
}

static void addresses_add_up(void **state)
{
	struct addr value = addr("10.0.0.255"), sum, expected = addr("10.0.1.0");

	(void)state;
	assert_true(addr_add(&value, 1, &sum));
	assert_true(addr_equal(&sum, &expected));
	value = addr("255.255.255.255");
	assert_false(addr_add(&value, 1, &sum));
	assert_true(addr_equal(&sum, &expected)); // only written on success
	assert_true(addr_add(&value, 0, &sum));
	value = addr("0.0.0.0");
	assert_false(addr_add(&value, UINT64_C(1) << 32, &sum));
	value = addr("fd00::ffff:ffff:ffff:ffff");
	expected = addr("fd00:0:0:1::");
	assert_true(addr_add(&value, 1, &sum));
	assert_true(addr_equal(&sum, &expected));
	expected = addr("fd00:0:0:1:ffff:ffff:ffff:fffe");
	assert_true(addr_add(&value, UINT64_MAX, &sum));
	assert_true(addr_equal(&sum, &expected));
	value = addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	assert_false(addr_add(&value, 1, &sum));
}

static void not_every_address_may_be_given(void **state)
{
	static const char *const good[] = {"10.0.0.1",	      "192.0.2.1", "100.64.0.1", "1.0.0.0",
					   "223.255.255.255", "fd00::1",   "2001:db8::1"};
	static const char *const bad[] = {"0.0.0.0",	     "0.1.2.3",	  "127.0.0.1",
					  "169.254.1.1",     "224.0.0.1", "240.0.0.1",
					  "255.255.255.255", "::",	  "::1",
					  "fe80::1",	     "ff02::1",	  "::ffff:10.0.0.1"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct addr value = addr(good[i]);
		if (!addr_assignable(&value))
			fail_msg("%s", good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct addr value = addr(bad[i]);
		if (addr_assignable(&value))
			fail_msg("%s", bad[i]);
	}
	assert_false(addr_assignable(&(struct addr){0}));
}

static void socket_addresses_come_back(void **state)
{
	static const char *const texts[] = {"10.1.2.3:1", "[fd00::1]:65535", "0.0.0.0:0"};
	struct endpoint value, again;
	struct sockaddr_storage name;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(endpoint_parse(texts[i], &value), 0);
		int family = value.addr.family;
		assert_true(endpoint_to_sockaddr(&value, family, &name) > 0);
		assert_int_equal(name.ss_family, family);
		assert_int_equal(endpoint_from_sockaddr(&name, &again), 0);
		assert_true(endpoint_equal(&value, &again));
		// An IPv4 endpoint on an IPv6 socket is mapped, and comes back as what it is.
		assert_int_equal(endpoint_to_sockaddr(&value, AF_INET6, &name),
				 sizeof(struct sockaddr_in6));
		assert_int_equal(endpoint_from_sockaddr(&name, &again), 0);
		assert_true(endpoint_equal(&value, &again));
	}
	assert_int_equal(endpoint_parse("[fd00::1]:1", &value), 0);
	assert_int_equal(endpoint_to_sockaddr(&value, AF_INET, &name), 0);
	value.addr.family = AF_UNSPEC;
	assert_int_equal(endpoint_to_sockaddr(&value, AF_INET6, &name), 0);
	name.ss_family = AF_UNIX;
	assert_int_equal(endpoint_from_sockaddr(&name, &again), -EAFNOSUPPORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_strict),
		cmocka_unit_test(prefixes_are_strict),
		cmocka_unit_test(endpoints_are_strict),
		cmocka_unit_test(prefixes_contain),
		cmocka_unit_test(prefixes_are_masked),
		cmocka_unit_test(addresses_add_up),
		cmocka_unit_test(not_every_address_may_be_given),
		cmocka_unit_test(socket_addresses_come_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
