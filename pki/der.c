// SPDX-License-Identifier: Apache-2.0

#include "pki/der.h"

#include <string.h>

#include "base/buffer.h"

#define LONG_FORM  0x80u
#define LENGTH_MAX 4 // bytes of a length in the long form
#define HIGH_NUMBER \
	0x1f // the tag goes on in the next byte: nothing that is read here has such a one

static size_t read_length(struct reader *reader)
{
	uint8_t first = reader_u8(reader);
	unsigned count = first & ~LONG_FORM;
	size_t length = 0;

	if (!(first & LONG_FORM))
		return first;
	if (count == 0 || count > LENGTH_MAX) {
		reader->failed = true;
		return 0;
	}
	for (unsigned i = 0; i < count; i++)
		length = length << 8 | reader_u8(reader);
	// The shortest form is the only one (X.690, 10.1).
	if (length < LONG_FORM || length >> (8 * (count - 1)) == 0)
		reader->failed = true;
	return length;
}

bool der_next(struct reader *reader, struct der *ret)
{
	struct der der = {.whole = reader->data};
	size_t before = reader->left;

	der.tag = reader_u8(reader);
	der.size = read_length(reader);
	if ((der.tag & HIGH_NUMBER) == HIGH_NUMBER)
		reader->failed = true;
	if (!reader->failed)
		der.content = reader_bytes(reader, der.size);
	if (reader->failed)
		return false;
	der.whole_size = before - reader->left;
	*ret = der;
	return true;
}

bool der_expect(struct reader *reader, enum der_tag tag, struct der *ret)
{
	if (der_peek(reader, tag))
		return der_next(reader, ret);
	reader->failed = true;
	return false;
}

bool der_peek(const struct reader *reader, enum der_tag tag)
{
	return !reader->failed && reader->left > 0 && *reader->data == tag;
}

bool der_integer(const struct der *der, size_t max, uint8_t *ret, size_t *ret_size,
		 bool *ret_negative)
{
	const uint8_t *bytes = der->content;
	size_t size = der->size;

	if (der->tag != DER_INTEGER || size == 0)
		return false;
	// The shortest form is the only one (X.690, 8.3.2).
	if (size > 1 &&
	    ((bytes[0] == 0 && bytes[1] < 0x80) || (bytes[0] == 0xff && bytes[1] >= 0x80)))
		return false;
	*ret_negative = bytes[0] >= 0x80;
	if (bytes[0] == 0) {
		bytes++;
		size--;
	}
	if (size > max)
		return false;
	memcpy(ret, bytes, size);
	*ret_size = size;
	if (!*ret_negative)
		return true;
	unsigned carry = 1;
	for (size_t i = size; i-- > 0;) {
		carry += (uint8_t)~ret[i];
		ret[i] = (uint8_t)carry;
		carry >>= 8;
	}
	if (size > 1 && ret[0] == 0) {
		memmove(ret, ret + 1, size - 1);
		*ret_size = size - 1;
	}
	return true;
}
