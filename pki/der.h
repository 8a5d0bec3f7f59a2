// SPDX-License-Identifier: Apache-2.0
// One element of DER after the other (X.690, 10), over borrowed bytes; for structures too large to be made into OpenSSL's objects.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader;

enum der_tag {
	DER_BOOLEAN = 0x01,
	DER_INTEGER = 0x02,
	DER_BIT_STRING = 0x03,
	DER_OCTET_STRING = 0x04,
	DER_OBJECT = 0x06,
	DER_ENUMERATED = 0x0a,
	DER_UTC_TIME = 0x17,
	DER_GENERALIZED_TIME = 0x18,
	DER_SEQUENCE = 0x30,
	DER_EXPLICIT_0 = 0xa0,
};

struct der {
	uint8_t tag;
	const uint8_t *content;
	size_t size;
	const uint8_t *whole; // with tag and length
	size_t whole_size;
};

// The next element. False, and `reader` has failed: it is cut short, or its tag or length is in no form that DER has.
bool der_next(struct reader *reader, struct der *ret);
// The same, where it has this tag; else false, and `reader` has failed too.
bool der_expect(struct reader *reader, enum der_tag tag, struct der *ret);
// Whether the next element is there and has this tag; it is still to be read then.
bool der_peek(const struct reader *reader, enum der_tag tag);
// The magnitude of an INTEGER, without leading zeros, of at most `max` bytes. False: it is longer, or not DER.
bool der_integer(const struct der *der, size_t max, uint8_t *ret, size_t *ret_size,
		 bool *ret_negative);
