// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "pki/staple.h"
#include "unit/message_fixture.h"

// Encodes, checks the text where one is given, decodes.
static void pass(const struct message *message, const char *text, struct message *ret)
{
	struct buffer buffer;
	struct error error = {0};
	buffer_init(&buffer, MESSAGE_SIZE_MAX, false);
	assert_int_equal(message_encode(message, &buffer), 0);
	if (text) {
		assert_int_equal(buffer.size, strlen(text));
		assert_memory_equal(buffer_head(&buffer), text, buffer.size);
	}
	int r = message_decode(buffer_head(&buffer), buffer.size, ret, &error);
	if (r != 0)
		print_message("%s\n", error.what);
	assert_int_equal(r, 0);
	assert_int_equal(ret->type, message->type);
	buffer_done(&buffer);
}

static void test_hello(void **unused)
{
	struct message out;
	struct message in = {
		.type = MESSAGE_HELLO,
		.hello =
			{
				.protocol = MESSAGE_PROTOCOL,
				.software = "mutun 0.1.0",
				.host = "büro \"7\"",
				.resume = true,
				.session = {0, 1, 0xfe, 0xff},
				.index = UINT32_MAX,
				.ciphers = {CIPHER_CHACHA20_POLY1305, CIPHER_AES_256_GCM},
				.cipher_count = 2,
				.lanes = 64,
				.mtu = 65000,
				.anchors = {.hashes = {{0xab, [31] = 1}, {2}}, .count = 2},
			},
	};
	(void)unused;
	pass(&in,
	     "{\"type\":\"HELLO\",\"protocol\":1,\"software\":\"mutun 0.1.0\",\"host\":\"büro "
	     "\\\"7\\\"\",\"session\":\"0001feff000000000000000000000000\",\"index\":4294967295,"
	     "\"ciphers\":[\"chacha20-poly1305\",\"aes-256-gcm\"],\"lanes\":64,\"mtu\":65000,"
	     "\"anchors\":[\"ab00000000000000000000000000000000000000000000000000000000000001\","
	     "\"0200000000000000000000000000000000000000000000000000000000000000\"]}",
	     &out);
	assert_int_equal(out.hello.protocol, 1);
	assert_string_equal(out.hello.software, "mutun 0.1.0");
	assert_string_equal(out.hello.host, "büro \"7\"");
	assert_true(out.hello.resume);
	assert_memory_equal(out.hello.session, in.hello.session, SESSION_ID_SIZE);
	assert_int_equal(out.hello.index, UINT32_MAX);
	assert_int_equal(out.hello.cipher_count, 2);
	assert_int_equal(out.hello.ciphers[0], CIPHER_CHACHA20_POLY1305);
	assert_int_equal(out.hello.ciphers[1], CIPHER_AES_256_GCM);
	assert_int_equal(out.hello.lanes, 64);
	assert_int_equal(out.hello.mtu, 65000);
	assert_int_equal(out.hello.anchors.count, 2);
	assert_memory_equal(out.hello.anchors.hashes, in.hello.anchors.hashes, 2 * ANCHOR_SIZE);
	in.hello.resume = false;
	in.hello.anchors.count = 0;
	pass(&in, NULL, &out);
	assert_false(out.hello.resume);
	assert_int_equal(out.hello.session[2], 0);
	assert_int_equal(out.hello.anchors.count, 0);
}

static struct prefix prefix(const char *addr, uint8_t length)
{
	struct prefix result = {.length = length};
	assert_int_equal(addr_parse(addr, &result.addr), 0);
	return result;
}

static void test_ready(void **unused)
{
	struct prefix routes[] = {prefix("10.20.0.0", 16), prefix("::", 0)};
	struct message out;
	struct message in = {
		.type = MESSAGE_READY,
		.ready =
			{
				.session = {1, [15] = 2},
				.resumed = true,
				.index = 9,
				.epoch = 3,
				.cipher = CIPHER_CHACHA20_POLY1305,
				.lanes = 4,
				.mtu = 1280,
				.addresses = {prefix("10.90.0.2", 16), prefix("fd90::2", 64)},
				.address_count = 2,
				.routes = routes,
				.route_count = 2,
				.keepalive_s = 3600,
				.udp_port = 65535,
				.time = 1700000000,
				.expires = INT64_MAX,
				.anchors = {.hashes = {{7}}, .count = 1},
			},
	};
	(void)unused;
	pass(&in, NULL, &out);
	assert_memory_equal(out.ready.session, in.ready.session, SESSION_ID_SIZE);
	assert_true(out.ready.resumed);
	assert_int_equal(out.ready.index, 9);
	assert_int_equal(out.ready.epoch, 3);
	assert_int_equal(out.ready.cipher, CIPHER_CHACHA20_POLY1305);
	assert_int_equal(out.ready.lanes, 4);
	assert_int_equal(out.ready.mtu, 1280);
	assert_int_equal(out.ready.address_count, 2);
	assert_int_equal(out.ready.route_count, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(prefix_equal(&out.ready.addresses[i], &in.ready.addresses[i]));
		assert_true(prefix_equal(&out.ready.routes[i], &routes[i]));
	}
	assert_int_equal(out.ready.keepalive_s, 3600);
	assert_int_equal(out.ready.udp_port, 65535);
	assert_int_equal(out.ready.time, 1700000000);
	assert_true(out.ready.expires == INT64_MAX);
	assert_int_equal(out.ready.anchors.count, 1);
	assert_int_equal(out.ready.anchors.hashes[0][0], 7);
	message_done(&out);
	assert_null(out.ready.routes);
}

static void test_config_reauth_ping(void **unused)
{
	struct prefix route = prefix("192.0.2.0", 24);
	struct message out;
	struct message config = {.type = MESSAGE_CONFIG,
				 .config = {.addresses = {prefix("10.0.0.1", 32)},
					    .address_count = 1,
					    .routes = &route,
					    .route_count = 1,
					    .mtu = 1400}};
	struct message reauth = {.type = MESSAGE_REAUTH,
				 .reauth = {.within_s = 3600, .reason = "trust changed"}};
	struct message pong = {.type = MESSAGE_PONG, .ping = {.token = INT64_MAX}};
	(void)unused;
	pass(&config,
	     "{\"type\":\"CONFIG\",\"addresses\":[\"10.0.0.1/32\"],\"routes\":[\"192.0.2.0/24\"],"
	     "\"mtu\":1400}",
	     &out);
	assert_true(prefix_equal(&out.config.addresses[0], &config.config.addresses[0]));
	assert_true(prefix_equal(&out.config.routes[0], &route));
	assert_int_equal(out.config.mtu, 1400);
	message_done(&out);
	config.config.route_count = config.config.address_count = 0;
	pass(&config, NULL, &out);
	assert_null(out.config.routes);
	message_done(&out);
	pass(&reauth, "{\"type\":\"REAUTH\",\"within_s\":3600,\"reason\":\"trust changed\"}", &out);
	assert_int_equal(out.reauth.within_s, 3600);
	assert_string_equal(out.reauth.reason, "trust changed");
	pass(&pong, "{\"type\":\"PONG\",\"token\":9223372036854775807}", &out);
	assert_true(out.ping.token == INT64_MAX);
	pong = (struct message){.type = MESSAGE_PING};
	pass(&pong, "{\"type\":\"PING\",\"token\":0}", &out);
}

static void test_bye(void **unused)
{
	struct message out;
	struct message in = {.type = MESSAGE_BYE, .bye = {.code = BYE_EXPIRED, .text = "late"}};
	(void)unused;
	pass(&in, "{\"type\":\"BYE\",\"code\":\"expired\",\"text\":\"late\"}", &out);
	assert_int_equal(out.bye.code, BYE_EXPIRED);
	assert_int_equal(out.bye.retry_after_s, 0);
	assert_int_equal(out.bye.sent_count, 0);
	in.bye.retry_after_s = 86400;
	in.bye.sent_count = MESSAGE_LANES_MAX;
	in.bye.sent[63] = INT64_MAX;
	for (int code = BYE_SHUTDOWN; code <= BYE_KEYS; code++) {
		in.bye.code = (enum bye_code)code;
		pass(&in, NULL, &out);
		assert_int_equal(out.bye.code, code);
	}
	assert_int_equal(out.bye.retry_after_s, 86400);
	assert_int_equal(out.bye.sent_count, MESSAGE_LANES_MAX);
	assert_true(out.bye.sent[63] == INT64_MAX);
}

// What would be refused at the other end must not keep a BYE from arriving.
static void test_texts_are_cleaned(void **unused)
{
	static const struct {
		const char *text, *clean;
	} cases[] = {
		{"a\nb\x1b[31m\x7f", "a?b?[31m?"},
		{"\xc2\x80\xc2\x9f\xc2\xa0", "????\xc2\xa0"},
		{"\xc0\x80 \xe0\x80\x80 \xf4\x90\x80\x80", "?? ??? ????"},
		{"\xed\xa0\x80 \xff \xe2\x82", "??? ? ??"},
		{"\xe2\x82\xac \xf0\x9f\x98\x80", "\xe2\x82\xac \xf0\x9f\x98\x80"},
		{"", ""},
	};
	struct message in = {.type = MESSAGE_BYE};
	struct message out;
	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(in.bye.text, sizeof(in.bye.text), "%s", cases[i].text);
		pass(&in, NULL, &out);
		assert_string_equal(out.bye.text, cases[i].clean);
	}
	memset(in.bye.text, 'x', sizeof(in.bye.text)); // no NUL at all
	pass(&in, NULL, &out);
	assert_int_equal(strlen(out.bye.text), MESSAGE_TEXT_MAX - 1);
}

static void test_unknown_fields_and_ciphers(void **unused)
{
	struct message message;
	(void)unused;
	assert_taken("{\"type\":\"PING\",\"token\":1,\"more\":{\"x\":[1,2]}}");
	assert_taken("  {\"token\":1,\"type\":\"PING\"}\n");
	assert_int_equal(decode(replace(HELLO, "[\"aes-256-gcm\"]",
					"[\"new\",\"chacha20-poly1305\",\"aes-512\"]"),
				&message, NULL),
			 0);
	assert_int_equal(message.hello.cipher_count, 1);
	assert_int_equal(message.hello.ciphers[0], CIPHER_CHACHA20_POLY1305);
	assert_refused(replace(HELLO, "aes-256-gcm", "aes-512"), "HELLO.ciphers names none");
	assert_refused(replace(HELLO, "[\"aes-256-gcm\"]", "[]"), "HELLO.ciphers names none");
	assert_refused(replace(HELLO, "[\"aes-256-gcm\"]", "[\"aes-256-gcm\",\"aes-256-gcm\"]"),
		       "HELLO.ciphers names one twice");
	assert_refused(replace(HELLO, "[\"aes-256-gcm\"]", "[\"aes-256-gcm\",7]"),
		       "HELLO.ciphers has an element");
	assert_refused(replace(HELLO, "[\"aes-256-gcm\"]", "\"aes-256-gcm\""),
		       "HELLO.ciphers is no array");
}

static void test_optional_fields(void **unused)
{
	static const char bye[] = "{\"type\":\"BYE\",\"code\":\"dead\",\"text\":\"x\",\"more\":0}";
	static const char *const bad[] = {
		"\"retry_after_s\":-1",	  "\"retry_after_s\":86401",
		"\"retry_after_s\":null", "\"sent\":7",
		"\"sent\":[-1]",	  "\"sent\":[1.0]",
		"\"sent\":[null]",	  "\"sent\":{}",
	};
	(void)unused;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_refused(replace(bye, "\"more\":0", bad[i]), "BYE.");
	assert_taken(replace(bye, "\"more\":0", "\"retry_after_s\":0,\"sent\":[]"));
	assert_taken(replace(bye, "\"more\":0", "\"sent\":[0,9223372036854775807]"));
	assert_refused(replace(bye, "dead", "DEAD"), "BYE.code is not known");
	assert_refused("{\"type\":\"HELLO\",\"protocol\":1,\"session\":null," HELLO_REST,
		       "HELLO.session is not a string");
}

static void test_staples(void **unused)
{
	static const char *const bad[] = {
		"\"staple\":null",	"\"staple\":\"\"",	   "\"staple\":\"AAE\"",
		"\"staple\":\"AAE==\"", "\"staple\":\"AA F\"",	   "\"staple\":\"AAF=\"",
		"\"staple\":\"A===\"",	"\"staple\":\"AA==AAAA\"", "\"staple\":[\"AAEC\"]",
		"\"staple\":\"AA-_\"",	"\"staple\":\"AAAA\\n\"",
	};
	uint8_t der[STAPLE_MAX + 1];
	struct message in = {.type = MESSAGE_HELLO}, out;
	struct buffer buffer;
	(void)unused;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[600];
		snprintf(text, sizeof(text), "{%s,\"type\":\"HELLO\",\"protocol\":1," HELLO_REST,
			 bad[i]);
		assert_refused(text, "HELLO.staple ");
	}
	assert_int_equal(decode(HELLO, &in, NULL), 0);
	assert_null(in.hello.staple.der);
	for (size_t i = 0; i < sizeof(der); i++)
		der[i] = (uint8_t)(i * 7);
	in.hello.staple.der = der;
	for (in.hello.staple.size = 1; in.hello.staple.size <= STAPLE_MAX;
	     in.hello.staple.size += in.hello.staple.size < 8 ? 1 : 1534) {
		pass(&in, NULL, &out);
		assert_int_equal(out.hello.staple.size, in.hello.staple.size);
		assert_memory_equal(out.hello.staple.der, der, in.hello.staple.size);
		message_done(&out);
		assert_null(out.hello.staple.der);
	}
	in.hello.staple.size = STAPLE_MAX + 1;
	buffer_init(&buffer, MESSAGE_SIZE_MAX, false);
	assert_int_equal(message_encode(&in, &buffer), 0);
	assert_int_equal(message_decode(buffer_head(&buffer), buffer.size, &out, NULL), -EPROTO);
	buffer_done(&buffer);
}

static void test_anchors(void **unused)
{
	static const char *const bad[] = {
		"null",
		"{}",
		"7",
		"[7]",
		"[\"\"]",
		"[\"ab\"]",
		"[" HASH ",null]",
		"[\"ab0000000000000000000000000000000000000000000000000000000000000g\"]",
	};
	char text[200];
	struct message message;
	(void)unused;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "\"mtu\":1400,\"anchors\":%s", bad[i]);
		assert_refused(replace(HELLO, "\"mtu\":1400", text), "HELLO.anchors ");
		assert_refused(replace(READY, "\"mtu\":1400", text), "READY.anchors ");
	}
	assert_int_equal(decode(replace(HELLO, "\"mtu\":1400", "\"mtu\":1400,\"anchors\":[]"),
				&message, NULL),
			 0);
	assert_int_equal(message.hello.anchors.count, 0);
}

static void test_encode_limits(void **unused)
{
	struct prefix *routes = calloc(MESSAGE_ROUTES_MAX + 1, sizeof(*routes));
	struct message in = {.type = MESSAGE_CONFIG, .config = {.mtu = 1400, .routes = routes}};
	struct message out;
	struct buffer small;
	(void)unused;
	assert_non_null(routes);
	for (unsigned i = 0; i <= MESSAGE_ROUTES_MAX; i++)
		routes[i] = prefix("1111:2222:3333:4444:5555:6666:7777:8888", 128);
	in.config.route_count = MESSAGE_ROUTES_MAX; // the longest there is still fits
	pass(&in, NULL, &out);
	assert_int_equal(out.config.route_count, MESSAGE_ROUTES_MAX);
	message_done(&out);
	buffer_init(&small, 100, false);
	assert_int_equal(message_encode(&in, &small), -ENOBUFS);
	in.config.route_count++;
	assert_int_equal(message_encode(&in, &small), -ENOBUFS);
	assert_int_equal(small.size, 0);
	buffer_done(&small);
	free(routes);
}

static void test_names(void **unused)
{
	enum cipher cipher;
	(void)unused;
	assert_string_equal(message_name(MESSAGE_HELLO), "HELLO");
	assert_string_equal(message_name(MESSAGE_BYE), "BYE");
	assert_string_equal(bye_name(BYE_SHUTDOWN), "shutdown");
	assert_string_equal(bye_name(BYE_KEYS), "keys");
	assert_int_equal(cipher_parse("chacha20-poly1305", &cipher), 0);
	assert_int_equal(cipher, CIPHER_CHACHA20_POLY1305);
	assert_int_equal(cipher_parse("aes-128-gcm", &cipher), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_ready),
		cmocka_unit_test(test_config_reauth_ping),
		cmocka_unit_test(test_bye),
		cmocka_unit_test(test_texts_are_cleaned),
		cmocka_unit_test(test_unknown_fields_and_ciphers),
		cmocka_unit_test(test_optional_fields),
		cmocka_unit_test(test_staples),
		cmocka_unit_test(test_anchors),
		cmocka_unit_test(test_encode_limits),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
