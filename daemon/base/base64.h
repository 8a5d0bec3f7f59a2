// SPDX-License-Identifier: Apache-2.0
// Base64 (RFC 4648, 4) where every value has exactly one text: no white space, padded, no bits left over. What EST sends is
// more liberal: pki/est.h.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BASE64_TEXT_MAX(size) (((size) + 2) / 3 * 4 + 1) // characters for so many bytes, and a NUL

// `text` has room for BASE64_TEXT_MAX(size) characters. Returns `text`.
char *base64_text(const uint8_t *bytes, size_t size, char *text);

// Returns new bytes; NULL: it is none, or out of memory.
uint8_t *base64_parse(const char *text, size_t length, size_t *ret_size);
