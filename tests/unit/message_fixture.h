// SPDX-License-Identifier: Apache-2.0
// Texts of messages, and what becomes of them.
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "base/error.h"
#include "tun/message.h"

#define SESSION "\"session\":\"00112233445566778899aabbccddeeff\""
#define HELLO_REST                                                                              \
	"\"software\":\"mutun\",\"host\":\"laptop\",\"index\":1,\"ciphers\":[\"aes-256-gcm\"]," \
	"\"lanes\":1,\"mtu\":1400}"
#define HELLO "{\"type\":\"HELLO\",\"protocol\":1," HELLO_REST
#define READY                                                                                \
	"{\"type\":\"READY\"," SESSION ",\"resumed\":false,\"index\":7,\"epoch\":1,"         \
	"\"cipher\":\"aes-256-gcm\",\"lanes\":2,\"mtu\":1400,"                               \
	"\"addresses\":[\"10.90.0.2/16\"],\"routes\":[\"10.20.0.0/16\"],\"keepalive_s\":15," \
	"\"udp_port\":443,\"time\":1700000000,\"expires\":1700086400}"

// Without the NUL, on purpose.
static inline void copy(char *to, const char *from, size_t size)
{
	for (size_t i = 0; i < size; i++)
		to[i] = from[i];
}

static inline int decode(const char *text, struct message *ret, struct error *error)
{
	// A block of the exact size lets AddressSanitizer see a read past the end.
	size_t size = strlen(text);
	char *exact = malloc(size ? size : 1);
	assert_non_null(exact);
	copy(exact, text, size);
	int r = message_decode(exact, size, ret, error);
	free(exact);
	return r;
}

static inline void assert_refused(const char *text, const char *what)
{
	struct message message;
	struct error error = {0};
	memset(&message, 0x5a, sizeof(message));
	int r = decode(text, &message, &error);
	if (r != -EPROTO || !strstr(error.what, what))
		print_message("%s\n -> %d %s\n", text, r, error.what);
	assert_int_equal(r, -EPROTO);
	assert_non_null(strstr(error.what, what));
	for (size_t i = 0; i < sizeof(message); i++)
		assert_int_equal(((uint8_t *)&message)[i], 0x5a);
	assert_int_equal(decode(text, &message, NULL), -EPROTO);
}

static inline void assert_taken(const char *text)
{
	struct message message;
	struct error error = {0};
	int r = decode(text, &message, &error);
	if (r != 0)
		print_message("%s\n -> %s\n", text, error.what);
	assert_int_equal(r, 0);
	message_done(&message);
}

// `text` with its first `from` replaced by `to`.
static const char *replace(const char *text, const char *from, const char *to)
{
	static char result[8192];
	const char *at = strstr(text, from);
	assert_non_null(at);
	int n = snprintf(result, sizeof(result), "%.*s%s%s", (int)(at - text), text, to,
			 at + strlen(from));
	assert_true(n > 0 && (size_t)n < sizeof(result));
	return result;
}

#define HASH "\"ab00000000000000000000000000000000000000000000000000000000000001\""
