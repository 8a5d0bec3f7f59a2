// SPDX-License-Identifier: Apache-2.0
// What is decoded can be encoded, and decoding that gives the same message. What was not decoded leaves no trace.

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "tun/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(const struct message *message, struct buffer *ret)
{
	buffer_init(ret, MESSAGE_SIZE_MAX, false);
	if (message_encode(message, ret) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message first, second;
	struct buffer one, two;
	struct error error = {0};
	if (message_decode(data, size, &first, &error) < 0) {
		if (error.code == 0 || error.what[0] == '\0')
			abort();
		return 0;
	}
	encode(&first, &one);
	if (message_decode(buffer_head(&one), one.size, &second, &error) < 0)
		abort();
	encode(&second, &two);
	if (one.size != two.size || memcmp(buffer_head(&one), buffer_head(&two), one.size) != 0)
		abort();
	message_done(&first);
	message_done(&second);
	buffer_done(&one);
	buffer_done(&two);
	return 0;
}
