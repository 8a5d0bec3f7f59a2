// SPDX-License-Identifier: Apache-2.0
// What is no message: other JSON, fields that are missing, of another type or out of range, too many of them.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "unit/message_fixture.h"

static void test_not_json(void **unused)
{
	static const char *const cases[] = {
		"",
		" ",
		"{",
		"{\"type\":\"PING\",\"token\":1",
		"{\"type\":\"PING\",\"token\":1}x",
		"{\"type\":\"PING\",\"token\":1}{}",
		"{\"type\":\"PING\",\"token\":1,\"token\":1}",
		"{\"type\":\"PING\",\"type\":\"PING\",\"token\":1}",
		"{\"type\":\"PING\",\"token\":01}",
		"{\"type\":\"PING\",\"token\":NaN}",
		"{\"type\":\"PING\",\"token\":9223372036854775808}",
		"{\"type\":\"PING\",\"token\":1,\"x\":\"a\\u0000b\"}",
		"{\"type\":\"PING\",\"token\":1,\"a\\u0000b\":1}",
		"{\"type\":\"PING\",\"token\":1,\"x\":\"\x01\"}",
		"{\"type\":\"PING\",\"token\":1,\"x\":\"\xff\"}",
		"{\"type\":\"PING\",\"token\":1,\"x\":\"\\ud800\"}",
		"{type:\"PING\",\"token\":1}",
		"\xef\xbb\xbf{\"type\":\"PING\",\"token\":1}",
	};
	struct message message;
	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_refused(cases[i], "not valid JSON");
	assert_int_equal(message_decode("{}\0", 3, &message, NULL), -EPROTO);
	assert_int_equal(message_decode(NULL, 0, &message, NULL), -EPROTO);
	assert_refused("[]", "no JSON object with a type");
	assert_refused("{}", "no JSON object with a type");
	assert_refused("{\"type\":7}", "no JSON object with a type");
	assert_refused("{\"type\":\"NOISE\"}", "unknown message \"NOISE\"");
	assert_refused("{\"type\":\"ping\",\"token\":1}", "unknown message \"ping\"");
	assert_refused("{\"type\":\"\"}", "unknown message \"\"");
}

static void test_truncated_anywhere(void **unused)
{
	struct message message;
	(void)unused;
	for (size_t size = 0; size < strlen(READY); size++)
		assert_int_equal(message_decode(READY, size, &message, NULL), -EPROTO);
	assert_taken(READY);
	assert_taken(HELLO);
}

static void test_deep_and_long(void **unused)
{
	char *text = malloc(MESSAGE_SIZE_MAX + 2);
	struct message message;
	(void)unused;
	assert_non_null(text);
	memset(text, '[', MESSAGE_SIZE_MAX);
	assert_int_equal(message_decode(text, MESSAGE_SIZE_MAX, &message, NULL), -EPROTO);
	for (unsigned i = 0; i + 5 <= MESSAGE_SIZE_MAX; i += 5)
		copy(text + i, "{\"a\":", 5);
	assert_int_equal(message_decode(text, MESSAGE_SIZE_MAX, &message, NULL), -EPROTO);
	memset(text, ' ', MESSAGE_SIZE_MAX + 1);
	copy(text, "{\"type\":\"PING\",\"token\":1}", 25);
	assert_int_equal(message_decode(text, MESSAGE_SIZE_MAX, &message, NULL), 0);
	assert_int_equal(message_decode(text, MESSAGE_SIZE_MAX + 1, &message, NULL), -EPROTO);
	free(text);
}

// Every field: missing, of another type.
static void test_fields_are_needed(void **unused)
{
	static const char *const messages[] = {
		HELLO,
		READY,
		"{\"type\":\"CONFIG\",\"addresses\":[],\"routes\":[],\"mtu\":1400}",
		"{\"type\":\"REAUTH\",\"within_s\":1,\"reason\":\"x\"}",
		"{\"type\":\"PING\",\"token\":1}",
		"{\"type\":\"PONG\",\"token\":1}",
		"{\"type\":\"BYE\",\"code\":\"dead\",\"text\":\"x\"}",
	};
	static const char *const fields[] = {
		"protocol", "software", "host",	       "index", "ciphers",  "lanes",
		"mtu",	    "session",	"resumed",     "epoch", "cipher",   "addresses",
		"routes",   "time",	"keepalive_s", "token", "udp_port", "expires",
		"within_s", "reason",	"code",	       "text",
	};
	unsigned checked = 0;
	(void)unused;
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		assert_taken(messages[i]);
		for (size_t j = 0; j < sizeof(fields) / sizeof(fields[0]); j++) {
			char from[40], to[80], what[80];
			snprintf(from, sizeof(from), "\"%s\":", fields[j]);
			if (!strstr(messages[i], from))
				continue;
			snprintf(to, sizeof(to), "\"-%s\":", fields[j]);
			snprintf(what, sizeof(what), ".%s is missing", fields[j]);
			assert_refused(replace(messages[i], from, to), what);
			snprintf(to, sizeof(to), "\"%s\":{},\"-%s\":", fields[j], fields[j]);
			snprintf(what, sizeof(what), ".%s is ", fields[j]);
			assert_refused(replace(messages[i], from, to), what);
			snprintf(to, sizeof(to), "\"%s\":null,\"-%s\":", fields[j], fields[j]);
			assert_refused(replace(messages[i], from, to), what);
			snprintf(to, sizeof(to), "\"%s\":1.0,\"-%s\":", fields[j], fields[j]);
			assert_refused(replace(messages[i], from, to), what);
			checked++;
		}
	}
	assert_int_equal(checked, 7 + 13 + 3 + 2 + 1 + 1 + 2);
}

static void test_ranges(void **unused)
{
	static const struct {
		const char *text, *from, *bad[4], *good[3];
	} cases[] = {
		{HELLO, "\"protocol\":1", {"0", "-1", "65536", "\"1\""}, {"1", "2", "65535"}},
		{HELLO, "\"index\":1", {"0", "-1", "4294967296", "1.0"}, {"1", "4294967295"}},
		{HELLO, "\"lanes\":1", {"0", "65", "true"}, {"1", "64"}},
		{HELLO, "\"mtu\":1400", {"1279", "65001", "1e3"}, {"1280", "65000"}},
		{READY, "\"epoch\":1", {"0", "4294967296", "-9223372036854775808"}, {"4294967295"}},
		{READY, "\"resumed\":false", {"0", "1", "\"true\""}, {"true"}},
		{READY, "\"keepalive_s\":15", {"0", "3601"}, {"1", "3600"}},
		{READY, "\"udp_port\":443", {"0", "65536"}, {"1", "65535"}},
		{READY, "\"time\":1700000000", {"-1", "1.5"}, {"0"}},
		{READY, "\"cipher\":\"aes-256-gcm\"", {"\"AES-256-GCM\"", "\"\"", "0"}, {NULL}},
		{READY,
		 "\"addresses\":[\"10.90.0.2/16\"]",
		 {"[\"10.90.0.2\"]", "[\"10.90.0.2/33\"]", "[7]", "[\"10.90.0.2/16 \"]"},
		 {"[]", "[\"fd00::1/128\"]", "[\"10.0.0.0/0\"]"}},
		{READY,
		 "\"addresses\":[\"10.90.0.2/16\"]",
		 {"[\"/16\"]", "[\"host/16\"]", "[\"10.90.0.2/\"]", "[\"10.90.0.2/016\"]"},
		 {NULL}},
		{READY,
		 "\"routes\":[\"10.20.0.0/16\"]",
		 {"[\"10.20.0.0\"]", "[\"10.20.0.1/16\"]", "[\"\"]", "[\"10.20.0.0/16/1\"]"},
		 {"[]", "[\"0.0.0.0/0\",\"::/0\"]"}},
	};
	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *colon = strchr(cases[i].from, ':');
		char to[128];
		for (size_t j = 0; j < 4 && cases[i].bad[j]; j++) {
			snprintf(to, sizeof(to), "%.*s%s", (int)(colon + 1 - cases[i].from),
				 cases[i].from, cases[i].bad[j]);
			assert_refused(replace(cases[i].text, cases[i].from, to), ".");
		}
		for (size_t j = 0; j < 3 && cases[i].good[j]; j++) {
			snprintf(to, sizeof(to), "%.*s%s", (int)(colon + 1 - cases[i].from),
				 cases[i].from, cases[i].good[j]);
			assert_taken(replace(cases[i].text, cases[i].from, to));
		}
	}
}

static void test_sessions_and_texts(void **unused)
{
	static const char *const sessions[] = {
		"",
		"00112233445566778899aabbccddeef",
		"00112233445566778899aabbccddeeff0",
		"00112233445566778899aabbccddeefg",
		"0x112233445566778899aabbccddeeff",
		"00:12233445566778899aabbccddeeff",
	};
	char text[400], member[600];
	struct message message;
	(void)unused;
	for (size_t i = 0; i < sizeof(sessions) / sizeof(sessions[0]); i++) {
		snprintf(member, sizeof(member), "\"session\":\"%s\"", sessions[i]);
		assert_refused(replace(READY, SESSION, member), "READY.session is malformed");
	}
	assert_int_equal(decode(replace(READY, "aabbccddeeff", "AABBccddeeff"), &message, NULL), 0);
	assert_int_equal(message.ready.session[10], 0xaa);
	assert_int_equal(message.ready.session[1], 0x11);
	message_done(&message);
	assert_refused(replace(HELLO, "laptop", "lap\\ntop"), "HELLO.host has a control character");
	assert_refused(replace(HELLO, "laptop", "\\u001b[2J"), "HELLO.host has a control");
	assert_refused(replace(HELLO, "laptop", "\\u009b2J"), "HELLO.host has a control");
	assert_refused(replace(HELLO, "laptop", "\\u007f"), "HELLO.host has a control");
	assert_taken(replace(HELLO, "laptop", ""));
	memset(text, 'x', sizeof(text));
	text[MESSAGE_TEXT_MAX - 1] = '\0';
	assert_taken(replace(HELLO, "laptop", text));
	text[MESSAGE_TEXT_MAX - 1] = 'x';
	text[MESSAGE_TEXT_MAX] = '\0';
	assert_refused(replace(HELLO, "laptop", text), "HELLO.host is too long");
}

static void append_elements(char *text, size_t size, const char *element, unsigned count)
{
	size_t at = strlen(text);
	for (unsigned i = 0; i < count; i++)
		at += (size_t)snprintf(text + at, size - at, "%s%s", i ? "," : "", element);
}

static void assert_count(const char *head, const char *element, const char *tail, unsigned max)
{
	char text[65536];
	struct message message;
	for (unsigned count = max; count <= max + 1; count++) {
		snprintf(text, sizeof(text), "%s", head);
		append_elements(text, sizeof(text), element, count);
		size_t at = strlen(text);
		snprintf(text + at, sizeof(text) - at, "%s", tail);
		assert_int_equal(decode(text, &message, NULL), count > max ? -EPROTO : 0);
		if (count == max)
			message_done(&message);
	}
}

static void test_counts(void **unused)
{
	(void)unused;
	assert_count("{\"type\":\"CONFIG\",\"mtu\":1400,\"routes\":[],\"addresses\":[",
		     "\"10.0.0.1/8\"", "]}", MESSAGE_ADDRESSES_MAX);
	assert_count("{\"type\":\"CONFIG\",\"mtu\":1400,\"addresses\":[],\"routes\":[",
		     "\"10.0.0.0/8\"", "]}", MESSAGE_ROUTES_MAX);
	assert_count("{\"type\":\"HELLO\",\"protocol\":1,\"anchors\":[", HASH, "]," HELLO_REST,
		     MESSAGE_ANCHORS_MAX);
	assert_count("{\"type\":\"BYE\",\"code\":\"dead\",\"text\":\"\",\"sent\":[", "1", "]}",
		     MESSAGE_LANES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_json),      cmocka_unit_test(test_truncated_anywhere),
		cmocka_unit_test(test_deep_and_long), cmocka_unit_test(test_fields_are_needed),
		cmocka_unit_test(test_ranges),	      cmocka_unit_test(test_sessions_and_texts),
		cmocka_unit_test(test_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
