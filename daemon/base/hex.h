// SPDX-License-Identifier: Apache-2.0
// Bytes as hexadecimal digits, two for each, and back.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HEX_TEXT_MAX(size) (2 * (size) + 1) // characters for so many bytes, and a NUL

// Lower case. `text` has room for HEX_TEXT_MAX(size) characters. Returns `text`.
char *hex_text(const uint8_t *bytes, size_t size, char *text);

// Digits in either case, `size` bytes of them. -EINVAL: not so many digits, or other characters; `ret` is undefined then.
int hex_parse(const char *text, size_t length, uint8_t *ret, size_t size);
