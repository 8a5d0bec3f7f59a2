// SPDX-License-Identifier: Apache-2.0
// Inner packets around any bytes, with right lengths, for the tests of what judges them.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "tun/inner.h"

#define INNER_MAX 2048u

// From 10.1.2.3 to 192.0.2.9: header, options (a multiple of 4), bytes. `fragment`: flags and offset. Returns the size.
size_t inner_ipv4(uint8_t *packet, uint8_t protocol, uint16_t fragment, const uint8_t *options,
		  size_t option_size, const uint8_t *bytes, size_t size);
// From fd00::1:3 to fd00::2:9.
size_t inner_ipv6(uint8_t *packet, uint8_t next, const uint8_t *bytes, size_t size);
// inner_parse() of a copy on the heap, so that a sanitizer sees a step past the end.
enum drop inner_judge(const uint8_t *packet, size_t size, struct inner *ret);
