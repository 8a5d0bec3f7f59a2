// SPDX-License-Identifier: Apache-2.0
// Names of the DNS as they are written in configuration and messages.
#pragma once

#include <stdbool.h>

#define DOMAIN_TEXT_MAX 254 // with the NUL (RFC 1035, 2.3.4)

// Whether the text is a name without a final dot: labels of 1 to 63 letters, digits, "-" and "_", which neither begin nor end with
// "-" (RFC 1123, 2.1; RFC 8552), at most 253 characters in all.
bool domain_is_name(const char *text);
