// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/buffer.h"
#include "base/error.h"
#include "tun/message.h"

#define CONFIG "{\"type\":\"CONFIG\",\"mtu\":1400,\"addresses\":[],\"routes\":[]"

static int decode(const char *more, struct message *ret, struct error *error)
{
	char text[8192];
	int size = snprintf(text, sizeof(text), CONFIG "%s}", more);
	assert_true(size > 0 && size < (int)sizeof(text));
	return message_decode(text, (size_t)size, ret, error);
}

static void passes_whole(void **state)
{
	struct message in = {.type = MESSAGE_CONFIG, .config.mtu = 1400}, out;
	struct message_push *push = &in.config.push;
	struct buffer buffer;
	(void)state;
	for (unsigned i = 0; i < MESSAGE_DNS_SERVERS_MAX; i++)
		assert_int_equal(addr_parse(i ? "fd00::53" : "10.0.0.53", &push->servers[i]), 0);
	push->server_count = MESSAGE_DNS_SERVERS_MAX;
	for (unsigned i = 0; i < MESSAGE_DNS_DOMAINS_MAX; i++)
		for (unsigned j = 0; j < 253; j++)
			push->domains[i][j] = j % 64 == 63 ? '.' : 'a';
	push->domain_count = MESSAGE_DNS_DOMAINS_MAX;
	push->rate = MESSAGE_RATE_MAX;
	buffer_init(&buffer, MESSAGE_SIZE_MAX, false);
	assert_int_equal(message_encode(&in, &buffer), 0);
	assert_int_equal(message_decode(buffer_head(&buffer), buffer.size, &out, NULL), 0);
	assert_memory_equal(&out.config.push, push, sizeof(*push));
	message_done(&out);
	buffer_done(&buffer);
}

// An old peer says none of it, and is told none of what is not.
static void may_be_left_out(void **state)
{
	struct message out;
	struct buffer buffer;
	(void)state;
	assert_int_equal(decode("", &out, NULL), 0);
	assert_int_equal(out.config.push.server_count, 0);
	assert_int_equal(out.config.push.domain_count, 0);
	assert_int_equal(out.config.push.rate, 0);
	buffer_init(&buffer, MESSAGE_SIZE_MAX, false);
	assert_int_equal(message_encode(&out, &buffer), 0);
	assert_null(memmem(buffer_head(&buffer), buffer.size, "dns", 3));
	assert_null(memmem(buffer_head(&buffer), buffer.size, "bandwidth", 9));
	buffer_done(&buffer);
}

static void refuses(void **state)
{
	static const char *const bad[] = {
		",\"dns_servers\":null",
		",\"dns_servers\":\"10.0.0.53\"",
		",\"dns_servers\":[\"10.0.0.53/32\"]",
		",\"dns_servers\":[\"127.0.0.1\"]",
		",\"dns_servers\":[\"::ffff:10.0.0.1\"]",
		",\"dns_servers\":[\"0.0.0.0\"]",
		",\"dns_servers\":[1]",
		(",\"dns_servers\":[\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\","
		 "\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\"]"),
		",\"dns_domains\":{}",
		",\"dns_domains\":[\"\"]",
		",\"dns_domains\":[\".\"]",
		",\"dns_domains\":[\"~.\"]",
		",\"dns_domains\":[\"corp.example.\"]",
		",\"dns_domains\":[\"-a.example\"]",
		",\"dns_domains\":[\"a-.example\"]",
		",\"dns_domains\":[\"a b\"]",
		",\"dns_domains\":[\"a..b\"]",
		",\"dns_domains\":[\"b\\u00fccher.example\"]",
		",\"dns_domains\":[null]",
		",\"bandwidth\":0",
		",\"bandwidth\":-1",
		",\"bandwidth\":1099511627777",
		",\"bandwidth\":1.5",
		",\"bandwidth\":\"1\"",
		",\"bandwidth\":null",
	};
	struct message out;
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error error = {0};
		if (decode(bad[i], &out, &error) != -EPROTO)
			fail_msg("taken: %s", bad[i]);
		if (!strstr(error.what, "CONFIG."))
			fail_msg("%s: %s", bad[i], error.what);
	}
	char label[400] = ",\"dns_domains\":[\"";
	memset(label + strlen(label), 'a', 64);
	strcat(label, "\"]");
	assert_int_equal(decode(label, &out, NULL), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passes_whole),
		cmocka_unit_test(may_be_left_out),
		cmocka_unit_test(refuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
