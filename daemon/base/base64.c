// SPDX-License-Identifier: Apache-2.0

#include "base/base64.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>

#include "base/cleanup.h"

char *base64_text(const uint8_t *bytes, size_t size, char *text)
{
	EVP_EncodeBlock((unsigned char *)text, bytes, (int)size);
	return text;
}

uint8_t *base64_parse(const char *text, size_t length, size_t *ret_size)
{
	_cleanup_(freep) uint8_t *bytes = malloc(length / 4 * 3 + 1);
	_cleanup_(freep) char *again = malloc(length + 1);
	size_t padding = 0;

	while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
		padding++;
	if (!bytes || !again || length % 4 || length > INT_MAX ||
	    EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)length) < 0)
		return NULL;
	size_t size = length / 4 * 3 - padding;
	// EVP_DecodeBlock() takes more than base64.
	base64_text(bytes, size, again);
	if (memcmp(again, text, length) != 0)
		return NULL;
	*ret_size = size;
	return take(bytes);
}
